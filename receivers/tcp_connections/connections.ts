// Connections that the kernel tells of one by one, because their destination may be somebody else's: each is given to
// the flow of who really answers. Those that nobody translates are told from then on by sums alone.
import { addressText, unmapped } from '../host/address.ts'
import type { Host } from '../host/host.ts'
import type { Flows, TcpFlow } from './flows.ts'
import type { Connection } from './records.ts'
import {
  bucketOf,
  CONNECT_NS,
  CONNECT_TIMES,
  CONNECTS,
  FAILED,
  RECEIVED,
  RESETS_RECEIVED,
  RESETS_SENT,
  RETRANSMITS,
  RTT_US,
  RTTS,
  SENT,
  TIMED_CONNECTS,
} from './totals.ts'

/** Who answers a connection. `actual` is undefined where nobody knows. */
export type Answer = { readonly actual: { readonly address: string; readonly port: number } | undefined }

type Known = {
  flow: TcpFlow | undefined
  readonly localPort: number
  readonly dialledNs: number
  sentBytes: number
  receivedBytes: number
  retransmits: number
  active: boolean
  /** Number of the last pass that saw it; that of the pass before it was opened. */
  pass: number
}

export type Connections = {
  /** In the kernel's order. `answers` are of the same length. */
  told(connections: readonly Connection[], answers: readonly Answer[]): void
  /** From here on what lives is of a new pass. */
  beginPass(): void
  /** One that the pass found alive, and whose end was not told while it ran. `isCounted`: as connected, with its bytes. */
  lives(connection: Connection, answer: Answer, isCounted?: boolean): void
  /** Whether this pass has brought it: there may be several descriptors of one socket. */
  isSeen(socket: string): boolean
  isKnown(socket: string): boolean
  /** Ends those that a pass did not see. Only after an end was lost: some sockets are held by no process. */
  endUnseen(): void
  addActive(): void
  readonly size: number
  /** Records whose control group nobody ever knew, or that were too many to wait for its name. */
  readonly unattributed: number
  /** Connections that were too many at once, and are taken for ended. */
  readonly forgotten: number
}

const NOTHING = { sentBytes: 0, receivedBytes: 0, retransmits: 0 }

/** For a control group to become known. */
const WAIT_MS = 60_000
const MOST_WAITING = 50_000
/** The kernel's own table of sockets has fewer. Those whose end was not told are among the oldest. */
const MOST_KNOWN = 65_536

export function createConnections(host: Pick<Host, 'cgroup'>, flows: Flows): Connections {
  const known = new Map<string, Known>()
  /** What has just ended, and just before: a reset is sent right after. */
  let closed = new Map<string, TcpFlow>()
  let closedBefore = closed
  let waiting: { readonly told: Connection; readonly answer: Answer; readonly sinceMs: number }[] = []
  let unattributed = 0
  let forgotten = 0
  let pass = 0

  function know(socket: string, connection: Known): Known {
    known.delete(socket)
    if (known.size >= MOST_KNOWN) {
      for (const oldest of known.keys()) {
        known.delete(oldest)
        break
      }
      forgotten++
    }
    known.set(socket, connection)
    return connection
  }

  function flowOf(told: Connection, { actual }: Answer): TcpFlow | undefined {
    const cgroup = host.cgroup(told.cgroup)
    if (cgroup === undefined) return undefined
    const address = addressText(unmapped(told.remote))
    return flows.of({ cgroup, netns: told.netns, incoming: false, address, port: told.remotePort, actual })
  }

  function open(told: Connection, answer: Answer, isCounted = true): Known {
    const flow = flowOf(told, answer)
    if (flow !== undefined && isCounted) {
      add(flow, CONNECTS, 1)
      if (told.connectUs !== undefined) {
        add(flow, TIMED_CONNECTS, 1)
        add(flow, CONNECT_NS, told.connectUs * 1000)
        add(flow, CONNECT_TIMES + bucketOf(told.connectUs), 1)
      }
    }
    const { localPort, dialledNs, active, sentBytes, receivedBytes, retransmits } = told
    const before = isCounted ? NOTHING : { sentBytes, receivedBytes, retransmits }
    return { flow, localPort, dialledNs, ...before, active, pass }
  }

  function settle(connection: Known, told: Connection, isEnd: boolean): void {
    const { flow } = connection
    const sent = told.sentBytes - connection.sentBytes
    const received = told.receivedBytes - connection.receivedBytes
    if (flow !== undefined) {
      if (sent > 0) add(flow, SENT, sent)
      if (received > 0) add(flow, RECEIVED, received)
      if (told.retransmits > connection.retransmits) add(flow, RETRANSMITS, told.retransmits - connection.retransmits)
      const isNew = isEnd && connection.sentBytes === 0 && connection.receivedBytes === 0
      if (told.srttUs > 0 && (sent > 0 || received > 0 || isNew)) {
        add(flow, RTT_US, told.srttUs)
        add(flow, RTTS + bucketOf(told.srttUs), 1)
        if (told.minRttUs > 0) flow.minRttUs = Math.min(flow.minRttUs ?? told.minRttUs, told.minRttUs)
      }
      if (isEnd && told.resetReceived) add(flow, RESETS_RECEIVED, 1)
    }
    connection.sentBytes = told.sentBytes
    connection.receivedBytes = told.receivedBytes
    connection.retransmits = told.retransmits
    connection.active = !isEnd && told.active
  }

  function fail(told: Connection, answer: Answer): void {
    const flow = flowOf(told, answer)
    if (flow === undefined) return
    add(flow, FAILED + told.failure, 1)
    if (told.retransmits > 0) add(flow, RETRANSMITS, told.retransmits)
  }

  function endLost(told: Connection): void {
    const connection = known.get(told.socket)
    if (connection !== undefined) settle(connection, told, true)
    known.delete(told.socket)
  }

  function take(told: Connection, answer: Answer): void {
    if (told.event === 'failed') fail(told, answer)
    else if (told.event === 'end_lost') endLost(told)
    else if (told.event === 'opened') know(told.socket, open(told, answer))
    else if (told.event === 'left') {
      const connection = known.get(told.socket)
      if (connection !== undefined) settle(connection, told, false)
    } else if (told.event === 'closed') {
      const connection = known.get(told.socket) ?? open(told, answer)
      settle(connection, told, true)
      known.delete(told.socket)
      if (connection.flow) closed.set(told.socket, connection.flow)
    } else if (told.event === 'reset_sent') {
      const its = known.get(told.socket)?.flow ?? closed.get(told.socket) ?? closedBefore.get(told.socket)
      const flow = its ?? flowOf(told, UNKNOWN)
      if (flow !== undefined) add(flow, RESETS_SENT, 1)
    }
  }

  /** In the order they came: a control group that was just made may be known only a moment later. */
  function takeWaiting(): void {
    const nowMs = performance.now()
    waiting = waiting.filter(({ told, answer, sinceMs }) => {
      if (host.cgroup(told.cgroup) !== undefined) {
        take(told, answer)
        return false
      }
      if (nowMs - sinceMs < WAIT_MS) return true
      unattributed++
      return false
    })
  }

  return {
    told(connections, answers) {
      if (closed.size > 0 || closedBefore.size > 0) {
        closedBefore = closed
        closed = new Map()
      }
      if (waiting.length > 0) takeWaiting()
      for (const [i, told] of connections.entries()) {
        const answer = answers[i] ?? UNKNOWN
        if (host.cgroup(told.cgroup) !== undefined) take(told, answer)
        else if (waiting.length < MOST_WAITING) waiting.push({ told, answer, sinceMs: performance.now() })
        else unattributed++
      }
    },
    beginPass() {
      pass++
    },
    lives(told, answer, isCounted) {
      let connection = known.get(told.socket)
      if (connection === undefined) {
        // One whose control group is not known yet is seen again by the next pass.
        if (host.cgroup(told.cgroup) === undefined) return
        connection = know(told.socket, open(told, answer, isCounted))
      }
      // The socket's memory may have become another connection's meanwhile.
      if (connection.localPort !== told.localPort || connection.dialledNs !== told.dialledNs) return
      connection.pass = pass
      const holder = connection.flow?.cgroup.id === told.cgroup ? undefined : host.cgroup(told.cgroup)
      if (holder && connection.flow) connection.flow = flows.handedTo(holder, connection.flow)
      settle(connection, told, false)
    },
    isSeen: (socket) => known.get(socket)?.pass === pass,
    isKnown: (socket) => known.has(socket),
    endUnseen() {
      for (const [socket, connection] of known) if (connection.pass < pass - 1) known.delete(socket)
    },
    addActive() {
      for (const { flow, active } of known.values()) if (active && flow) flow.active++
    },
    get size() {
      return known.size
    },
    get unattributed() {
      return unattributed
    },
    get forgotten() {
      return forgotten
    },
  }
}

export const UNKNOWN: Answer = { actual: undefined }

function add(flow: TcpFlow, place: number, amount: number): void {
  flow.sums[place] = (flow.sums[place] ?? 0) + amount
  flow.lastMs = performance.now()
}
