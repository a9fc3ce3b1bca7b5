// A container → its OpenTelemetry resource attributes (semantic conventions 1.44: container, k8s, service).
import type { RuntimeInfo } from './container_id.ts'
import type { Placed } from './container_path.ts'

/** UTF-16 units of one attribute or label. Whoever starts a container chooses its names. */
const LONGEST = 1024

const KUBERNETES: Readonly<Record<string, string>> = {
  'io.kubernetes.pod.namespace': 'k8s.namespace.name',
  'io.kubernetes.pod.name': 'k8s.pod.name',
  'io.kubernetes.pod.uid': 'k8s.pod.uid',
  'io.kubernetes.container.name': 'k8s.container.name',
  'annotation.io.kubernetes.container.restartCount': 'k8s.container.restart_count',
}

/** Labels in which people write down which service it is. */
const SERVICE = ['app.kubernetes.io/name', 'com.docker.compose.service', 'com.docker.swarm.service.name']

export type Texts = {
  /** As it is, or cut where it is too long; always valid UTF-16. */
  bounded(text: string): string
  /** How many were cut. */
  readonly cut: number
}

export function createTexts(): Texts {
  let cut = 0
  return {
    bounded(text) {
      if (text.length <= LONGEST) return text.toWellFormed()
      cut++
      return text.slice(0, LONGEST).toWellFormed()
    },
    get cut() {
      return cut
    },
  }
}

/** Where nobody told the service's name it is that of the workload, of the container, or of the unit. */
export function containerAttributes(
  placed: Placed,
  info: RuntimeInfo | undefined,
  appId: string,
  { bounded }: Texts,
): Readonly<Record<string, string>> {
  const attributes: Record<string, string> = {}
  const set = (key: string, value: string | undefined) => {
    if (value !== undefined && value !== '') attributes[key] = bounded(value)
  }
  const name = placed.id.slice(placed.id.lastIndexOf('/') + 1)
  if (placed.ask === 'runtime') {
    set('container.runtime.name', info?.runtime ?? placed.runtime)
    set('container.id', placed.id)
    set('container.name', info?.name)
  } else if (placed.ask === 'systemd') {
    set('systemd.unit', name)
  } else {
    set('container.runtime.name', placed.runtime === 'other' ? undefined : placed.runtime)
    set('container.name', name)
  }
  set('k8s.pod.uid', placed.podUid)
  const image = imageParts(info?.image ?? '')
  set('container.image.name', image.name)
  set('container.image.tags', image.tag)
  set('container.image.id', image.id)
  for (const [label, key] of Object.entries(KUBERNETES)) set(key, info?.labels[label])

  const written = SERVICE.map((label) => info?.labels[label]).find((value) => value !== undefined && value !== '')
  const workload = appId.slice(appId.lastIndexOf('/') + 1)
  const own =
    placed.ask === 'runtime' ? (attributes['k8s.container.name'] ?? info?.name) : name.replace(/\.service$/, '')
  set('service.name', written ?? (workload || own))
  return Object.freeze(attributes)
}

/** A registry's port is no tag, and a digest (`name@sha256:…`, or all there is) is neither. */
export function imageParts(image: string): { readonly name: string; readonly tag: string; readonly id: string } {
  if (image.startsWith('sha256:')) return { name: '', tag: '', id: image }
  const [reference = ''] = image.split('@')
  const colon = reference.lastIndexOf(':')
  if (colon <= reference.lastIndexOf('/')) return { name: reference, tag: '', id: '' }
  return { name: reference.slice(0, colon), tag: reference.slice(colon + 1), id: '' }
}
