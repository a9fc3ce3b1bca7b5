// Connections without BPF: what sock_diag lists in each network namespace at each collection. It knows what is open now,
// who dialled it and its bytes, and who listens; a connection that came and went between two looks it does not know.

import { addressText, isUnspecified } from '../host/address.ts'
import type { Host } from '../host/host.ts'
import type { Nat, Resolution } from '../host/nat.ts'
import { type DiagSocket, dumpSockets, TCP } from '../host/sockets.ts'
import type { Logger } from '../receiver.ts'
import type { Flows, TcpFlow } from './flows.ts'
import type { Listening } from './listens.ts'
import type { Source } from './source.ts'
import { bucketOf, RECEIVED, RETRANSMITS, RTT_US, RTTS, SENT } from './totals.ts'

type Known = {
  readonly flow: TcpFlow
  sentBytes: number
  receivedBytes: number
  retransmits: number
  /** Number of the look that saw it last. */
  look: number
}

/** Who answers each that was dialled. */
type Dialled = ReadonlyMap<DiagSocket, Resolution | undefined>

/** Sockets that are kept in mind; about 300 bytes each. What is above is counted as open, without its bytes. */
const MOST = 65_536
const OPEN = [TCP.ESTABLISHED, TCP.FIN_WAIT1, TCP.FIN_WAIT2, TCP.CLOSE_WAIT, TCP.LAST_ACK, TCP.CLOSING]
const QUESTIONS = ([2, 10] as const).flatMap((family) => [
  { family, states: [TCP.LISTEN] },
  { family, states: OPEN, info: true },
])

type Options = {
  readonly host: Host
  readonly nat: Nat
  readonly log: Logger
  /** False: only what is open and who listens, because somebody else counts bytes. */
  readonly bytes?: boolean
  /** Whether bytes from before the first look count. */
  readonly history?: boolean
}

export function openDiag({ host, nat, log, bytes: countsBytes = true, history = true }: Options): Source {
  /** By cookie, which no other socket ever has. */
  const known = new Map<number, Known>()
  const losses = { no_room_for_socket: 0, namespace_not_readable: 0, socket_without_cgroup: 0 }
  let look = 0
  let toldForbidden = false

  function flowOf(socket: DiagSocket, netns: number, flows: Flows, dialled: Dialled): TcpFlow | undefined {
    const cgroup = host.cgroup(socket.cgroup ?? 0)
    if (cgroup === undefined) {
      losses.socket_without_cgroup++
      return undefined
    }
    const incoming = !dialled.has(socket)
    const [bytes, port] = incoming ? [socket.source, socket.sourcePort] : [socket.destination, socket.destinationPort]
    const address = addressText(bytes)
    if (incoming) return flows.of({ cgroup, netns, incoming, address, port })
    const resolution = dialled.get(socket)
    const actual =
      resolution?.state === 'translated'
        ? { address: addressText(resolution.address), port: resolution.port }
        : { address, port }
    return flows.of({ cgroup, netns, incoming, address, port, actual })
  }

  /**
   * Those not known yet that were dialled here, all asked about at once. Where the kernel's numbers do not tell, they are
   * those for which nobody listens now.
   */
  function dialledOf(
    sockets: readonly DiagSocket[],
    netns: number,
    isServed: (socket: DiagSocket) => boolean,
  ): Dialled {
    const dialled = sockets.filter((socket) => !known.has(socket.cookie) && (socket.dialled ?? !isServed(socket)))
    const resolutions = nat.resolve(dialled.map((socket) => ({ ...socket, netns })))
    return new Map(dialled.map((socket, i) => [socket, resolutions[i]]))
  }

  function see(socket: DiagSocket, netns: number, flows: Flows, dialled: Dialled): void {
    let before = known.get(socket.cookie)
    if (before === undefined) {
      const flow = flowOf(socket, netns, flows, dialled)
      if (flow === undefined) return
      before = { flow, ...(look === 1 && !history ? numbersOf(socket) : NOTHING), look }
      if (known.size < MOST) known.set(socket.cookie, before)
      else losses.no_room_for_socket++
    }
    before.look = look
    const { flow } = before
    // Closed by its process, it is the kernel's business alone.
    if (socket.inode !== 0 && !socket.isShut) flow.active++
    if (countsBytes && known.get(socket.cookie) === before) settle(before, socket)
  }

  /** The namespace's descriptor is needed only until the first piece was asked for. Undefined: it cannot be looked into. */
  async function piecesOf(netns: number) {
    try {
      const asked = host.namespaces.within(netns, (namespace) => {
        const rest = dumpSockets(namespace, QUESTIONS)
        return { first: rest.next(), rest }
      })
      return asked && { first: await asked.first, rest: asked.rest }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code !== 'EPERM') throw error
      if (!toldForbidden) {
        const fix = 'grant CAP_SYS_ADMIN, or run as root'
        log.warn('connections in the network namespaces of containers cannot be listed', { reason: message, fix })
      }
      toldForbidden = true
      return undefined
    }
  }

  return {
    known: { connects: false, resets: false, bytes: true },
    async collect(flows) {
      look++
      for (const flow of flows.all()) {
        flow.active = 0
        flow.minRttUs = undefined
      }
      const listening: Listening[] = []
      for (const { netns } of [...host.namespaces.living()]) {
        const pieces = await piecesOf(netns)
        if (pieces === undefined) {
          losses.namespace_not_readable++
          continue
        }
        const listens = listensIn()
        for (let piece = pieces.first; !piece.done; piece = await pieces.rest.next()) {
          const open: DiagSocket[] = []
          for (const socket of piece.value) {
            if (socket.state === TCP.LISTEN) {
              listens.add(socket)
              listening.push(listeningOf(socket, netns))
            } else open.push(socket)
          }
          const dialled = dialledOf(open, netns, listens.isServed)
          for (const socket of open) see(socket, netns, flows, dialled)
        }
      }
      for (const [cookie, { look: last }] of known) if (last !== look) known.delete(cookie)
      return listening
    },
    figures: () => ({ losses: { ...losses }, entries: { told_connections: known.size }, memoryBytes: 0 }),
    close() {},
  }
}

const NOTHING = { sentBytes: 0, receivedBytes: 0, retransmits: 0 }

const numbersOf = ({ info, state }: DiagSocket) => ({
  sentBytes: info?.sentBytes ?? 0,
  // The other side's FIN counts as a byte (tcp_rcv_nxt_update in net/ipv4/tcp_input.c).
  receivedBytes: Math.max(0, (info?.receivedBytes ?? 0) - (HAS_FIN.has(state) ? 1 : 0)),
  retransmits: info?.retransmits ?? 0,
})

/** States of a socket that the other side's FIN has come to. */
const HAS_FIN = new Set<number>([TCP.CLOSE_WAIT, TCP.LAST_ACK, TCP.CLOSING])

function settle(before: Known, socket: DiagSocket): void {
  const { info } = socket
  if (info === undefined) return
  const { flow } = before
  const now = numbersOf(socket)
  const add = (place: number, amount: number) => {
    flow.sums[place] = (flow.sums[place] ?? 0) + amount
    flow.lastMs = performance.now()
  }
  const sent = now.sentBytes - before.sentBytes
  const received = now.receivedBytes - before.receivedBytes
  if (sent > 0) add(SENT, sent)
  if (received > 0) add(RECEIVED, received)
  if (now.retransmits > before.retransmits) add(RETRANSMITS, now.retransmits - before.retransmits)
  if (info.rttUs !== undefined && (sent > 0 || received > 0)) {
    add(RTT_US, info.rttUs)
    add(RTTS + bucketOf(info.rttUs), 1)
    if (info.minRttUs !== undefined) flow.minRttUs = Math.min(flow.minRttUs ?? info.minRttUs, info.minRttUs)
  }
  before.sentBytes = Math.max(before.sentBytes, now.sentBytes)
  before.receivedBytes = Math.max(before.receivedBytes, now.receivedBytes)
  before.retransmits = now.retransmits
}

/** Which connections of a namespace somebody listened for: those to a port and address that is listened on. */
function listensIn() {
  const anywhere = new Set<number>()
  const at = new Set<string>()
  const key = ({ source, sourcePort }: DiagSocket) => `${addressText(source)} ${sourcePort}`
  return {
    add(socket: DiagSocket) {
      if (isUnspecified(socket.source)) anywhere.add(socket.sourcePort)
      else at.add(key(socket))
    },
    isServed: (socket: DiagSocket) => anywhere.has(socket.sourcePort) || at.has(key(socket)),
  }
}

const listeningOf = (socket: DiagSocket, netns: number): Listening => ({
  socket: String(socket.cookie),
  netns,
  local: socket.source,
  localPort: socket.sourcePort,
  bothFamilies: socket.source.length === 16 && !socket.v6only,
  drops: undefined,
  holderCgroup: socket.cgroup ?? 0,
  pid: 0,
})
