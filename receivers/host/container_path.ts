// A control group's path → the container it belongs to, by the names that runtimes give their cgroups.
// The rules are the peer's where it has one that is right. Templated units stay apart here, and podman, LXC, nspawn,
// nerdctl and services of users, which it drops, are containers.
import type { Runtime } from './host.ts'

export type Placed = {
  /** Who made it, as far as the path tells. A runtime that knows the id has the last word. */
  readonly runtime: Runtime
  /** The runtime's id (64 hex digits), the unit, or the machine's name. */
  readonly id: string
  /** The container's top cgroup: what lies below is part of it. */
  readonly top: string
  /** Kubernetes pod UID where the path holds one; of a static pod the hash of its manifest. */
  readonly podUid: string
  /** What a runtime has to say: its name. `systemd`: which kind of unit it is. `nobody`: the path holds all there is. */
  readonly ask: 'runtime' | 'systemd' | 'nobody'
  /** True when more than one runtime names its cgroups so: Docker under a --cgroup-parent, a namespace of containerd. */
  readonly ambiguous: boolean
}

const ID = '([0-9a-f]{64})'

/** One component of the path → the runtime that alone names its cgroups so. */
const NAMED: readonly (readonly [RegExp, Runtime])[] = [
  [new RegExp(`^docker-${ID}\\.scope$`), 'docker'],
  [new RegExp(`^crio-${ID}(?:\\.scope)?$`), 'cri-o'],
  [new RegExp(`^libpod-${ID}(?:\\.scope)?$`), 'podman'],
  [new RegExp(`^nerdctl-${ID}\\.scope$`), 'containerd'],
]
/** Only below kubepods: elsewhere such a scope is a helper of containerd. */
const CRI_CONTAINERD = new RegExp(`cri-containerd[-:]${ID}`)
const BARE_ID = new RegExp(`^${ID}$`)
/** Steps of an image build: BuildKit's own ids are 25 digits of base 36. */
const BUILD_STEP = /^docker-[0-9a-z]{25}\.scope$/
const POD_UID = /pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])/

/** What a path says by itself: the container, if it is one. */
type Rule = (parts: readonly string[]) => Found | undefined
type Found = Pick<Placed, 'runtime' | 'id' | 'ask'> & { readonly depth: number; readonly ambiguous?: boolean }

/** Undefined for what is no container: the root, sessions, slices, scopes, a runtime's own monitors. */
export function placeOf(path: string): Placed | undefined {
  const parts = path.split('/').filter((part) => part !== '')
  for (const rule of RULES) {
    const found = rule(parts)
    if (found === undefined) continue
    const { depth, ambiguous = false, ...placed } = found
    const top = `/${parts.slice(0, depth).join('/')}`
    const podUid = (POD_UID.exec(top)?.[1] ?? '').replaceAll('_', '-')
    return { ...placed, ambiguous, podUid, top }
  }
  return undefined
}

/** The outermost wins: what Docker inside Docker starts belongs to the container that holds it. */
const ofRuntime: Rule = (parts) => {
  let inPods = false
  for (const [index, part] of parts.entries()) {
    const depth = index + 1
    inPods ||= part.includes('kubepods')
    for (const [form, runtime] of NAMED) {
      const id = form.exec(part)?.[1]
      if (id !== undefined) return { runtime, id, depth, ask: 'runtime' }
    }
    const cri = inPods ? CRI_CONTAINERD.exec(part)?.[1] : undefined
    if (cri !== undefined) return { runtime: 'containerd', id: cri, depth, ask: 'runtime' }
    // Podman without systemd gives a pod a cgroup of its own, which holds its containers.
    if (BARE_ID.test(part) && parts[index - 1] !== 'libpod_parent') {
      const certain = parts[0] === 'docker' && index === 1
      const runtime = inPods || (parts[0] === 'default' && index === 1) ? 'containerd' : 'docker'
      return { runtime, id: part, depth, ask: 'runtime', ambiguous: !certain }
    }
    // All steps of image builds are one container: they live for seconds, and nobody knows their ids.
    if (part === 'buildkit' && (index === 0 || (index === 1 && parts[0] === 'docker'))) {
      return parts.length > depth ? { runtime: 'other', id: 'buildkit', depth, ask: 'nobody' } : undefined
    }
    if (BUILD_STEP.test(part)) return { runtime: 'other', id: 'buildkit', depth, ask: 'nobody' }
  }
  return undefined
}

const ofTalos: Rule = ([first, second]) => {
  if (first === 'init' && second === undefined) return { runtime: 'talos', id: 'init', depth: 1, ask: 'nobody' }
  if ((first !== 'system' && first !== 'podruntime') || second === undefined) return undefined
  return { runtime: 'talos', id: second, depth: 2, ask: 'nobody' }
}

const ofLxc: Rule = ([first = '', second]) => {
  if ((first === 'lxc' || first === 'lxc.payload') && second !== undefined) {
    return { runtime: 'lxc', id: second, depth: 2, ask: 'nobody' }
  }
  const id = /^lxc\.payload\.(.+)$/.exec(first)?.[1]
  return id === undefined ? undefined : { runtime: 'lxc', id, depth: 1, ask: 'nobody' }
}

/** systemd-nspawn and what else registers with systemd-machined (systemd-nspawn(1), org.freedesktop.machine1(5)). */
const ofMachined: Rule = ([first, second = '']) => {
  if (first !== 'machine.slice') return undefined
  const [, scope, service] = /^(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service)$/.exec(second) ?? []
  if (scope === undefined && service === undefined) return undefined
  const id = unescapeUnit(scope ?? service ?? '')
  return { runtime: /^(?:qemu|lxc)-/.test(id) ? 'other' : 'nspawn', id, depth: 2, ask: 'nobody' }
}

/** A service of systemd, wherever its slices put it. Its id is the first slice (of a user: and the manager) and its name. */
const ofSystemd: Rule = (parts) => {
  const [first = ''] = parts
  const manager = first === 'user.slice' ? parts.findIndex((part) => /^user@\d+\.service$/.test(part)) : -1
  if (first === 'user.slice' && manager === -1) return undefined
  const index = parts.findIndex((part, at) => at > manager && part.endsWith('.service'))
  const above = parts.slice(manager + 1, index)
  if (index === -1 || !above.every((part) => part.endsWith('.slice'))) return undefined
  const unit = unescapeUnit(parts[index] ?? '')
  const within = manager === -1 ? above.slice(0, 1) : [first, parts[manager]]
  return { runtime: 'systemd', id: `/${[...within, unit].join('/')}`, depth: index + 1, ask: 'systemd' }
}

const RULES: readonly Rule[] = [ofLxc, ofMachined, ofRuntime, ofTalos, ofSystemd]

/** Only dashes, as the peer does; systemd escapes whatever else is no letter, digit, dot, colon or underscore. */
function unescapeUnit(name: string): string {
  return name.replaceAll('\\x2d', '-')
}
