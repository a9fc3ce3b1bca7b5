// Tells those who measure distances whom containers talk to, or tried to.
import type { Peers } from '../host/peers.ts'
import type { TcpFlow } from './flows.ts'
import { RTT_US, RTTS } from './totals.ts'

type Measured = { us: number; samples: number }

const measured = new WeakMap<TcpFlow, Measured>()

/** One that was not known before, so that nobody has to wait for a collection to hear of it. */
export function notePeer({ incoming, actualAddress, cgroup, netns }: TcpFlow, peers: Peers): void {
  if (!incoming && actualAddress !== undefined) peers.note(cgroup.id, netns, actualAddress)
}

/** Those with open connections, and those where something happened since `sinceMs`. */
export function notePeers(flows: Iterable<TcpFlow>, peers: Peers, sinceMs: number): void {
  for (const flow of flows) {
    const { incoming, actualAddress, active, lastMs, cgroup, netns } = flow
    if (incoming || actualAddress === undefined || (active === 0 && lastMs < sinceMs)) continue
    peers.note(cgroup.id, netns, actualAddress, roundTripSeconds(flow))
  }
}

/** Mean of what TCP's smoothed round-trip time was at each look since the call before; undefined without one. */
function roundTripSeconds(flow: TcpFlow): number | undefined {
  const before = measured.get(flow) ?? { us: 0, samples: 0 }
  const us = flow.sums[RTT_US] ?? 0
  const samples = flow.sums.subarray(RTTS).reduce((sum, count) => sum + count, 0)
  measured.set(flow, { us, samples })
  return samples > before.samples ? (us - before.us) / (samples - before.samples) / 1e6 : undefined
}
