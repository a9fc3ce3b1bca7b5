// Names of containers that containerd and CRI-O started, by the OCI bundles that they leave for their runtime: a file
// per container, there before its cgroup is, so nobody has to be asked (config.md of the OCI runtime specification).
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path/posix'
import type { RuntimeInfo } from './container_id.ts'
import type { Placed } from './container_path.ts'
import type { Runtime } from './host.ts'
import type { RuntimeLog } from './runtime_logs.ts'
import { type Answer, type ContainerSource, UNKNOWN } from './source.ts'

export type BundleSource = ContainerSource & {
  /** Where the CRI's text file is; undefined for what is not started through the CRI. */
  logOf(placed: Placed): RuntimeLog | undefined
}

type Known = { readonly info: RuntimeInfo; readonly logPath: string; usedMs: number }

/** Annotations of containerd's CRI plug-in (pkg/cri/annotations) and of CRI-O → the labels that the kubelet gives. */
const LABELS: Readonly<Record<string, string>> = {
  'io.kubernetes.cri.sandbox-namespace': 'io.kubernetes.pod.namespace',
  'io.kubernetes.cri.sandbox-name': 'io.kubernetes.pod.name',
  'io.kubernetes.cri.sandbox-uid': 'io.kubernetes.pod.uid',
  'io.kubernetes.cri.container-name': 'io.kubernetes.container.name',
}
const IMAGES = ['io.kubernetes.cri.image-name', 'io.kubernetes.cri-o.ImageName', 'nerdctl/image']
const LARGEST = 4 << 20

/** `rootPath` is where the host's root is mounted, '' for ours. What is not asked for in `rememberMs` is forgotten. */
export function bundleSource(rootPath: string, rememberMs: number): BundleSource {
  const known = new Map<string, Known>()
  const unknownUntilMs = new Map<string, number>()

  function find({ id, runtime, ambiguous }: Placed): Known | undefined {
    if (runtime === 'docker' && !ambiguous) return undefined
    const nowMs = Date.now()
    const before = known.get(id)
    if (before !== undefined) {
      before.usedMs = nowMs
      return before
    }
    if ((unknownUntilMs.get(id) ?? 0) > nowMs || !/^[0-9a-f]{64}$/.test(id)) return undefined
    const found = read(rootPath, id, runtime)
    if (found === undefined) unknownUntilMs.set(id, nowMs + rememberMs)
    else known.set(id, { ...found, usedMs: nowMs })
    return known.get(id)
  }

  function forget(): void {
    const oldest = Date.now() - rememberMs
    for (const [id, { usedMs }] of known) if (usedMs < oldest) known.delete(id)
    for (const [id, untilMs] of unknownUntilMs) if (untilMs < Date.now()) unknownUntilMs.delete(id)
  }
  const forgetting = setInterval(forget, Math.max(1000, rememberMs / 4)).unref()

  return {
    ask(placed): Answer<RuntimeInfo> {
      const found = find(placed)
      return found === undefined ? UNKNOWN : { state: 'known', info: found.info }
    },
    logOf(placed) {
      const found = find(placed)
      const path = found && (found.logPath || podLog(rootPath, found.info.labels, placed.podUid))
      if (path === undefined || path === '') return undefined
      return { id: placed.id, driver: 'cri', path, createdMs: Number.NaN }
    },
    settled: async () => undefined,
    async stop() {
      clearInterval(forgetting)
    },
  }
}

function read(rootPath: string, id: string, runtime: Runtime): Omit<Known, 'usedMs'> | undefined {
  const tasks = `${rootPath}/run/containerd/io.containerd.runtime.v2.task`
  const places = namesIn(tasks).map((namespace) => join(tasks, namespace, id, 'config.json'))
  for (const storage of ['/run/containers/storage', '/var/lib/containers/storage']) {
    places.push(`${rootPath}${storage}/overlay-containers/${id}/userdata/config.json`)
  }
  for (const place of places) {
    try {
      const text = readFileSync(place, 'utf8')
      if (text.length > LARGEST) continue
      const { annotations } = JSON.parse(text) as { annotations?: unknown }
      return describe(annotations, runtime)
    } catch {
      // Not there, or gone again, or no JSON: the next one.
    }
  }
  return undefined
}

function describe(annotations: unknown, runtime: Runtime): Omit<Known, 'usedMs'> | undefined {
  const told = Object.fromEntries(Object.entries(annotations ?? {}).filter(([, value]) => typeof value === 'string'))
  const labels: Record<string, string> = { ...told }
  for (const [annotation, label] of Object.entries(LABELS)) if (told[annotation]) labels[label] = told[annotation]
  const isSandbox = [told['io.kubernetes.cri.container-type'], told['io.kubernetes.cri-o.ContainerType']].includes(
    'sandbox',
  )
  if (isSandbox) labels['io.kubernetes.container.name'] = 'POD'
  // Docker's own containerd has bundles too, in which there are no names.
  const name = labels['io.kubernetes.container.name'] ?? told['nerdctl/name'] ?? ''
  if (name === '') return undefined
  const image = IMAGES.map((key) => told[key]).find(Boolean) ?? ''
  const logPath = isSandbox ? '' : (told['io.kubernetes.cri-o.LogPath'] ?? '')
  return { info: { runtime: runtime === 'docker' ? 'containerd' : runtime, name, image, labels, env: {} }, logPath }
}

/** The kubelet's way: /var/log/pods/NAMESPACE_NAME_UID/CONTAINER/RESTARTS.log; the last start has the greatest number. */
function podLog(rootPath: string, labels: RuntimeInfo['labels'], podUid: string): string {
  const container = labels['io.kubernetes.container.name'] ?? 'POD'
  if (container === 'POD' || container.includes('/')) return ''
  const pods = `${rootPath}/var/log/pods`
  const begin = `${labels['io.kubernetes.pod.namespace']}_${labels['io.kubernetes.pod.name']}_`
  const uid = labels['io.kubernetes.pod.uid'] ?? podUid
  const exact = join(pods, `${begin}${uid}`, container)
  const directories = existsSync(exact)
    ? [exact]
    : namesIn(pods)
        .filter((name) => name.startsWith(begin))
        .map((name) => join(pods, name, container))
  for (const directory of directories) {
    const numbers = namesIn(directory).flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? [])
    const last = Math.max(...numbers.map(Number))
    if (numbers.length > 0) return join(directory, `${last}.log`)
  }
  return ''
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
