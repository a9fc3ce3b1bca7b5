// What is reported: for each control group and destination (or listening address) the sums since we know it.
// Bounded per control group; what is one too many is folded into one flow, whose address is `other`.
import type { Cgroup, Flow } from '../host/host.ts'
import type { Attributes } from '../receiver.ts'
import { type Filter, isLoopbackText, OTHER, withPort } from './filter.ts'
import { NUMBERS } from './totals.ts'

/** What the last packets of an ended control group did is known by then. */
const KEEP_ENDED_MS = 60_000

export type TcpFlow = Flow & {
  /** When nothing had happened for so long that it was forgotten. */
  forgottenMs: number | undefined
  readonly incoming: boolean
  readonly netns: number
  /** Without port; undefined for one that stands for several addresses. */
  readonly actualAddress: string | undefined
  /** The address as a label: `destination` or `listen_addr`, and the namespace where that matters. */
  readonly attributes: Attributes
  /** All that only grow, at the places that totals.ts names. */
  readonly sums: Float64Array
  /** Connections that are open now. Counted anew at each collection. */
  active: number
  minRttUs: number | undefined
  /** When something happened last, in milliseconds of the monotonic clock. */
  lastMs: number
}

/** What tells one from another. */
type Place = Pick<TcpFlow, 'cgroup' | 'incoming' | 'netns' | 'actualDestination' | 'actualAddress' | 'attributes'>

export type Asked = {
  readonly cgroup: Cgroup
  readonly netns: number
  readonly incoming: boolean
  /** '' for what was folded before it came to us. */
  readonly address: string
  readonly port: number
  readonly actual?: { readonly address: string; readonly port: number } | undefined
}

export type Flows = {
  of(asked: Asked): TcpFlow
  /** The same destination or listening address for another control group, which holds its connections from now on. */
  handedTo(cgroup: Cgroup, flow: TcpFlow): TcpFlow
  /** What an address that is dialled is called. */
  readonly label: Filter
  all(): Iterable<TcpFlow>
  /** Ends those in which nothing has happened for `forgetAfterMs`, and those of ended control groups. */
  forget(nowMs: number): void
  readonly size: number
  /** How often a new one was one too many. */
  readonly folded: number
}

type Options = {
  readonly maxPerCgroup: number
  readonly forgetAfterMs: number
  readonly filter: Filter
  /** The namespace of the host: addresses of its loopback need no more words. */
  readonly hostNetns: number
  readonly onNew?: (flow: TcpFlow) => void
}

export function createFlows({ maxPerCgroup, forgetAfterMs, filter, hostNetns, onNew }: Options): Flows {
  const known = new Map<string, TcpFlow>()
  const perCgroup = new Map<Cgroup, number>()
  let folded = 0

  function make(key: string, place: Place): TcpFlow {
    const { cgroup } = place
    const flow: TcpFlow = {
      ...place,
      kind: 'flow',
      key,
      bornMs: Date.now(),
      forgottenMs: undefined,
      get endedMs() {
        return flow.forgottenMs ?? cgroup.endedMs
      },
      sums: new Float64Array(NUMBERS),
      active: 0,
      minRttUs: undefined,
      lastMs: performance.now(),
    }
    known.set(key, flow)
    perCgroup.set(cgroup, (perCgroup.get(cgroup) ?? 0) + 1)
    onNew?.(flow)
    return flow
  }

  function find(asked: Asked, address: string, actual: string | undefined): TcpFlow | undefined {
    const key = keyOf(asked, address, actual)
    const flow = known.get(key)
    if (flow !== undefined) return flow
    if (address !== OTHER && isFull(asked.cgroup)) return undefined
    return make(key, {
      cgroup: asked.cgroup,
      incoming: asked.incoming,
      netns: asked.netns,
      actualDestination: actual,
      actualAddress: address === OTHER ? undefined : asked.actual?.address,
      attributes: Object.freeze({
        [asked.incoming ? 'listen_addr' : 'destination']: address,
        // 127.0.0.1 is another machine in each namespace.
        ...(isLoopbackText(asked.address) && asked.netns !== hostNetns && { netns: String(asked.netns) }),
      }),
    })
  }

  const isFull = (cgroup: Cgroup) => (perCgroup.get(cgroup) ?? 0) >= maxPerCgroup

  return {
    of(asked) {
      const { address, port, actual, incoming } = asked
      const label = address === '' ? OTHER : incoming ? withPort(address, port) : filter(address, port)
      if (label === OTHER) return find(foldedOf(asked), OTHER, undefined) as TcpFlow
      const answered = actual && (incoming ? undefined : filter(actual.address, actual.port))
      const flow = find(asked, label, answered)
      if (flow !== undefined) return flow
      folded++
      return find(foldedOf(asked), OTHER, undefined) as TcpFlow
    },
    handedTo(cgroup, flow) {
      const { incoming, netns, actualDestination, actualAddress, attributes } = flow
      const address = labelOf(flow)
      const key = keyOf({ cgroup, incoming, netns }, address, actualDestination)
      const its = known.get(key)
      if (its !== undefined) return its
      if (address !== OTHER && isFull(cgroup)) {
        folded++
        return find(foldedOf({ cgroup, incoming, netns, address, port: 0 }), OTHER, undefined) as TcpFlow
      }
      return make(key, { cgroup, incoming, netns, actualDestination, actualAddress, attributes })
    },
    label: filter,
    all: () => known.values(),
    forget(nowMs) {
      for (const [key, flow] of known) {
        const { cgroup } = flow
        const isIdle = flow.active === 0 && nowMs - flow.lastMs > forgetAfterMs
        const isOver = flow.active === 0 && cgroup.endedMs !== undefined && Date.now() - cgroup.endedMs > KEEP_ENDED_MS
        if (!isIdle && !isOver) continue
        flow.forgottenMs = cgroup.endedMs ?? Date.now()
        known.delete(key)
        const left = (perCgroup.get(cgroup) ?? 0) - 1
        if (left > 0) perCgroup.set(cgroup, left)
        else perCgroup.delete(cgroup)
      }
    },
    get size() {
      return known.size
    },
    get folded() {
      return folded
    },
  }
}

/** As it is told: with the port, or what it was folded into. */
export const labelOf = ({ attributes, incoming }: TcpFlow): string =>
  attributes[incoming ? 'listen_addr' : 'destination'] ?? OTHER

const keyOf = (
  { cgroup, netns, incoming }: Pick<Asked, 'cgroup' | 'netns' | 'incoming'>,
  address: string,
  actual: string | undefined,
): string => `${cgroup.id} ${incoming ? '<' : '>'} ${netns} ${address} ${actual ?? ''}`

const foldedOf = (asked: Asked): Asked => ({ ...asked, netns: 0, address: '', port: 0, actual: undefined })
