// Who asks for whom: the peers that the host knows become targets, one for each namespace and address.
import type { Cgroup, Host } from '../host/host.ts'
import { type Address, parseAddress } from './addresses.ts'
import type { Statistics } from './statistics.ts'
import { addViewer, createTarget, type Target } from './target.ts'

export type Told = { readonly target: Target; readonly viewer: Cgroup; readonly statistics: Statistics }

export type Targets = {
  all(): Iterable<Target>
  /** Takes over what the host knows of peers now. */
  follow(nowMs: number): void
  /** Nobody lives in that namespace any more. */
  end(netns: number): void
  /** What is to be reported: of the living, and once more of those that have left since the last call. */
  told(): Iterable<Told>
  readonly size: number
  /** Peers for which there was no room. */
  readonly refused: number
}

type Options = {
  readonly host: Host
  readonly isWanted: (address: Address) => boolean
  readonly most: number
  readonly random?: () => number
}

/** A target is asked for the first time within this time, so that not all are asked at once. */
const FIRST_WITHIN_MS = 500
const MOST_PARSED = 65_536

export function createTargets({ host, isWanted, most, random = Math.random }: Options): Targets {
  const byNamespace = new Map<number, Map<string, Target>>()
  const parsed = new Map<string, Address | undefined>()
  let leaving: Told[] = []
  let size = 0
  let refused = 0

  /** Undefined when it is none, or none that is to be asked. */
  function addressOf(text: string): Address | undefined {
    if (parsed.has(text)) return parsed.get(text)
    const address = parseAddress(text)
    const wanted = address && isWanted(address) ? address : undefined
    if (parsed.size >= MOST_PARSED) parsed.clear()
    parsed.set(text, wanted)
    return wanted
  }

  /** The whole container, so that its nested control groups are one. Undefined for what is in no container. */
  function viewerOf(id: number): Cgroup | undefined {
    const cgroup = host.cgroup(id)
    if (cgroup === undefined || cgroup.endedMs !== undefined) return undefined
    const attribution = host.attribution(cgroup)
    return attribution.state === 'container' ? attribution.container.top : undefined
  }

  function targetOf(netns: number, address: Address, nowMs: number): Target | undefined {
    const targets = byNamespace.get(netns) ?? new Map<string, Target>()
    let target = targets.get(address.text)
    if (target !== undefined) return target
    if (size >= most) {
      refused++
      return undefined
    }
    target = createTarget(netns, address, nowMs + random() * FIRST_WITHIN_MS)
    targets.set(address.text, target)
    byNamespace.set(netns, targets)
    size++
    return target
  }

  function leave(target: Target, viewer: Cgroup): void {
    const statistics = target.viewers.get(viewer)
    target.viewers.delete(viewer)
    if (statistics) leaving.push({ target, viewer, statistics })
  }

  function remove(target: Target): void {
    for (const viewer of target.viewers.keys()) leave(target, viewer)
    const targets = byNamespace.get(target.netns)
    if (targets?.delete(target.address.text)) size--
    if (targets?.size === 0) byNamespace.delete(target.netns)
  }

  function* all(): Generator<Target> {
    for (const targets of byNamespace.values()) yield* targets.values()
  }

  return {
    all,
    follow(nowMs) {
      const seen = new Map<Target, Set<Cgroup>>()
      for (const { cgroup, netns, address: text, tcpSeconds } of host.peers.living()) {
        const address = addressOf(text)
        if (address === undefined || !host.namespaces.has(netns)) continue
        const viewer = viewerOf(cgroup)
        const target = viewer && targetOf(netns, address, nowMs)
        if (viewer === undefined || target === undefined) continue
        addViewer(target, viewer)
        const viewers = seen.get(target)
        if (viewers === undefined) seen.set(target, new Set([viewer]))
        else viewers.add(viewer)
        target.tcpSeconds = tcpSeconds
      }
      for (const target of [...all()]) {
        const viewers = seen.get(target)
        if (viewers === undefined) remove(target)
        else for (const viewer of [...target.viewers.keys()]) if (!viewers.has(viewer)) leave(target, viewer)
      }
    },
    end(netns) {
      for (const target of [...(byNamespace.get(netns)?.values() ?? [])]) remove(target)
    },
    *told() {
      for (const target of all()) {
        for (const [viewer, statistics] of target.viewers) yield { target, viewer, statistics }
      }
      yield* leaving
      leaving = []
    },
    get size() {
      return size
    },
    get refused() {
      return refused
    },
  }
}
