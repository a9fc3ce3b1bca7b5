// A control group's path → the container it belongs to, by the names that runtimes give their cgroups.
// The rules are the peer's, so that its ids stay what they are; podman, LXC and nspawn, which it drops, are containers here.
import type { Runtime } from './host.ts'

export type Placed = {
  readonly runtime: Runtime
  /** The runtime's id (64 hex digits), the unit, or the machine's name. */
  readonly id: string
  /** The container's top cgroup: what lies below is part of it. */
  readonly top: string
  /** Kubernetes pod UID where the path holds one. */
  readonly podUid: string
  /** False for systemd units, Talos services and machines: their name is in the path, no runtime is asked. */
  readonly askRuntime: boolean
}

const SLICES = new Set([
  'system.slice',
  'runtime.slice',
  'reserved.slice',
  'kube.slice',
  'azure.slice',
  'podruntime.slice',
])
const SESSIONS = new Set(['user.slice', 'init.scope', 'systemd'])
const ID = '([0-9a-f]{64})'
const NAMED: readonly (readonly [RegExp, Runtime])[] = [
  [new RegExp(`^docker-${ID}\\.scope$`), 'docker'],
  [new RegExp(`^crio-${ID}(?:\\.scope)?$`), 'cri-o'],
  [new RegExp(`^libpod-${ID}(?:\\.scope)?$`), 'podman'],
  [new RegExp(`^nerdctl-${ID}\\.scope$`), 'containerd'],
]
const CRI_CONTAINERD = new RegExp(`cri-containerd[-:]${ID}`)
const BARE_ID = new RegExp(`^${ID}$`)
const POD_UID = /pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})/

const unescapeUnit = (name: string) => name.replace(/\\x2d/g, '-')

/** Undefined for what is no container: the root, sessions, slices, a runtime's own monitors. */
export function placeOf(path: string): Placed | undefined {
  const parts = path.split('/').filter((part) => part !== '')
  const [first = '', second = ''] = parts
  const podUid = (POD_UID.exec(path)?.[1] ?? '').replaceAll('_', '-')
  const upTo = (index: number) => `/${parts.slice(0, index + 1).join('/')}`
  const inPods = path.includes('kubepods')

  if (path === '/init') return { runtime: 'talos', id: 'init', top: path, podUid, askRuntime: false }
  if (SESSIONS.has(first) && !parts.some((part) => part.startsWith('libpod-'))) return undefined

  // The outermost container wins: what Docker inside Docker starts belongs to the one that holds it.
  for (const [index, part] of parts.entries()) {
    if (/^(?:crio|libpod)-conmon-/.test(part)) return undefined
    for (const [form, runtime] of NAMED) {
      const id = form.exec(part)?.[1]
      if (id !== undefined) return { runtime, id, top: upTo(index), podUid, askRuntime: true }
    }
    const cri = inPods ? CRI_CONTAINERD.exec(part)?.[1] : undefined
    if (cri !== undefined) return { runtime: 'containerd', id: cri, top: upTo(index), podUid, askRuntime: true }
    if (BARE_ID.test(part) && !part.startsWith('lxc')) {
      // Docker with its cgroupfs driver, under whatever --cgroup-parent; containerd's namespaces look the same.
      const runtime = inPods || (first !== 'docker' && index === 1 && first === 'default') ? 'containerd' : 'docker'
      return { runtime, id: part, top: upTo(index), podUid, askRuntime: true }
    }
  }

  if ((first === 'system' || first === 'podruntime') && second !== '') {
    return { runtime: 'talos', id: second, top: upTo(1), podUid, askRuntime: false }
  }
  if (SLICES.has(first)) {
    if (second === '' || path.endsWith('.scope')) return undefined
    return { runtime: 'systemd', id: unescapeUnit(second), top: upTo(1), podUid, askRuntime: false }
  }
  if (first === 'lxc' && second !== '') return { runtime: 'lxc', id: second, top: upTo(1), podUid, askRuntime: false }
  if (first.startsWith('lxc.payload.')) {
    return { runtime: 'lxc', id: first.slice('lxc.payload.'.length), top: upTo(0), podUid, askRuntime: false }
  }
  const machine =
    first === 'machine.slice' ? /^(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service)$/.exec(second) : null
  if (machine) {
    const id = unescapeUnit(machine[1] ?? machine[2] ?? '')
    return { runtime: 'nspawn', id, top: upTo(1), podUid, askRuntime: false }
  }
  return undefined
}
