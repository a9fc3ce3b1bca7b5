// A container → its OpenTelemetry resource attributes (semantic conventions 1.44: container, k8s, service).

import type { RuntimeInfo } from './container_id.ts'
import type { Placed } from './container_path.ts'

const LONGEST = 1024

/** Names come from whoever started the container: bounded, and always valid UTF-16. */
const bounded = (text: string): string => (text.length <= LONGEST ? text : text.slice(0, LONGEST)).toWellFormed()

const KUBERNETES: Readonly<Record<string, string>> = {
  'io.kubernetes.pod.namespace': 'k8s.namespace.name',
  'io.kubernetes.pod.name': 'k8s.pod.name',
  'io.kubernetes.pod.uid': 'k8s.pod.uid',
  'io.kubernetes.container.name': 'k8s.container.name',
}

/** Where the people who run it wrote down what service it is. */
const SERVICE = ['app.kubernetes.io/name', 'com.docker.compose.service', 'com.docker.swarm.service.name']

/** `name:tag` with a registry's port and a digest told apart. */
function imageParts(image: string): { name: string; tag: string } {
  const [reference = ''] = image.split('@')
  const colon = reference.lastIndexOf(':')
  return colon > reference.lastIndexOf('/')
    ? { name: reference.slice(0, colon), tag: reference.slice(colon + 1) }
    : { name: reference, tag: '' }
}

export function containerAttributes(placed: Placed, info: RuntimeInfo | undefined): Readonly<Record<string, string>> {
  const attributes: Record<string, string> = {}
  const set = (key: string, value: string | undefined) => {
    if (value !== undefined && value !== '') attributes[key] = bounded(value)
  }
  set('container.runtime.name', placed.askRuntime ? placed.runtime : undefined)
  set('container.id', placed.askRuntime ? placed.id : undefined)
  set('k8s.pod.uid', placed.podUid)
  if (info !== undefined) {
    set('container.name', info.name)
    const { name, tag } = imageParts(info.image)
    set('container.image.name', name)
    set('container.image.tags', tag)
    for (const [label, key] of Object.entries(KUBERNETES)) set(key, info.labels[label])
  }
  const named = SERVICE.map((label) => info?.labels[label]).find((value) => value !== undefined && value !== '')
  const own = placed.askRuntime ? (attributes['k8s.container.name'] ?? info?.name) : placed.id.replace(/\.service$/, '')
  set('service.name', named ?? own)
  return Object.freeze(attributes)
}
