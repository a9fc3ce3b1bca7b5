// Resets that the kernel sent after the end of a connection, when only the addresses were left of its socket: a server
// that goes on to send to a client which has closed. They are of the flow that has these addresses, if only one has.
import { addressText, unmapped } from '../host/address.ts'
import { withPort } from './filter.ts'
import { type Flows, labelOf, type TcpFlow } from './flows.ts'
import type { Connection } from './records.ts'
import { RESETS_SENT } from './totals.ts'

export type LateResets = {
  /** `answered`: who answered the connection, where its destination may be translated. Asked once for each connection. */
  told(reset: Connection, answered: () => Actual | undefined): void
  /** Once the flows are up to date. */
  settle(): void
  /** Resets of which nobody can say whose they are: two control groups of one namespace have that destination. */
  readonly unattributed: number
}

type Actual = { readonly address: string; readonly port: number }
type Waiting = { readonly reset: Connection; readonly actual: Actual | undefined; times: number }

/** Connections between two collections. */
const MOST = 50_000

export function createLateResets(flows: Flows): LateResets {
  /** By connection: of one there may be as many as the other side likes. */
  const waiting = new Map<string, Waiting>()
  let unattributed = 0

  /** Flows by namespace and address; of inbound ones that is the local address. */
  function byAddress(): Map<string, TcpFlow[]> {
    const found = new Map<string, TcpFlow[]>()
    for (const flow of flows.all()) {
      const key = keyOf(flow.netns, flow.incoming, labelOf(flow))
      const same = found.get(key)
      if (same === undefined) found.set(key, [flow])
      else same.push(flow)
    }
    return found
  }

  function whose({ reset, actual }: Waiting, known: ReturnType<typeof byAddress>): TcpFlow | undefined {
    const { netns, local, localPort, remote, remotePort } = reset
    const accepted = known.get(keyOf(netns, true, withPort(addressText(unmapped(local)), localPort))) ?? []
    const dialled = known.get(keyOf(netns, false, flows.label(addressText(unmapped(remote)), remotePort))) ?? []
    const answered = actual && flows.label(actual.address, actual.port)
    const fitting = dialled.filter((flow) => answered === undefined || flow.actualDestination === answered)
    const all = accepted.length > 0 ? accepted : fitting
    // One that has ended may have been followed by another at the same address.
    const alive = all.filter(({ cgroup }) => cgroup.endedMs === undefined)
    const [one, ...others] = alive.length > 0 ? alive : all
    return others.length === 0 ? one : undefined
  }

  return {
    told(reset, answered) {
      const key = connectionOf(reset)
      const same = waiting.get(key)
      if (same !== undefined) same.times++
      else if (waiting.size < MOST) waiting.set(key, { reset, actual: answered(), times: 1 })
      else unattributed++
    },
    settle() {
      if (waiting.size === 0) return
      const known = byAddress()
      const nowMs = performance.now()
      for (const one of waiting.values()) {
        const flow = whose(one, known)
        if (flow === undefined) unattributed += one.times
        else {
          flow.sums[RESETS_SENT] = (flow.sums[RESETS_SENT] ?? 0) + one.times
          flow.lastMs = nowMs
        }
      }
      waiting.clear()
    },
    get unattributed() {
      return unattributed
    },
  }
}

const connectionOf = ({ netns, local, localPort, remote, remotePort }: Connection) =>
  `${netns} ${addressText(local)} ${localPort} ${addressText(remote)} ${remotePort}`

const keyOf = (netns: number, incoming: boolean, label: string) => `${netns} ${incoming ? '<' : '>'} ${label}`
