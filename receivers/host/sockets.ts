// TCP sockets of a network namespace by sock_diag(7) (include/uapi/linux/inet_diag.h), which asks for no privilege:
// who is connected to whom, who listens, and what the kernel counts for each. What sits in no file descriptor is here too.
import { setImmediate as turn } from 'node:timers/promises'
import { getSystemErrorName } from 'node:util'
import { type Netlink, openNetlink } from '../../native/index.ts'
import { unmapped } from './address.ts'
import { type Attribute, attributes, messages, NLM_F_DUMP, request } from './netlink.ts'

export const NETLINK_SOCK_DIAG = 4

/** include/net/tcp_states.h */
export const TCP = {
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECV: 3,
  FIN_WAIT1: 4,
  FIN_WAIT2: 5,
  TIME_WAIT: 6,
  CLOSE: 7,
  CLOSE_WAIT: 8,
  LAST_ACK: 9,
  LISTEN: 10,
  CLOSING: 11,
} as const

export type TcpInfo = {
  /** Smoothed round-trip time and the smallest of the last minutes, microseconds. Undefined before the first sample. */
  readonly rttUs: number | undefined
  readonly minRttUs: number | undefined
  /** Segments sent again, since the beginning. */
  readonly retransmits: number
  /** Payload. Undefined where the kernel does not tell (bytes_sent came with 4.19). */
  readonly sentBytes: number | undefined
  readonly receivedBytes: number | undefined
}

export type DiagSocket = {
  /** One of `TCP`. */
  readonly state: number
  /** 4 or 16 bytes; IPv4 that is spoken by an IPv6 socket has 4. */
  readonly source: Uint8Array
  readonly sourcePort: number
  readonly destination: Uint8Array
  readonly destinationPort: number
  /** 0 when no file refers to it (not accepted yet, or closed by its process). */
  readonly inode: number
  readonly uid: number
  /** Never used twice while the machine runs. */
  readonly cookie: number
  /** Bytes not read yet; of a listener the connections that wait to be accepted. */
  readonly receiveQueue: number
  /** Bytes not acknowledged yet; of a listener how many connections may wait. */
  readonly sendQueue: number
  /** Id of the cgroup it was made in. Undefined before Linux 5.8. */
  readonly cgroup: number | undefined
  /** Nothing can go either way any more, though its process may hold it. */
  readonly isShut: boolean
  /** A listener on [::] that takes no IPv4. */
  readonly v6only: boolean
  readonly info: TcpInfo | undefined
  /** Of a connection, whether this side dialled it. Undefined where `info` does not tell, or told while it changed. */
  readonly dialled: boolean | undefined
}

type Question = {
  /** 2 AF_INET, 10 AF_INET6. */
  readonly family: 2 | 10
  readonly states: readonly number[]
  /** Ask for `info`, which makes it a third dearer. */
  readonly info?: boolean
}

const SOCK_DIAG_BY_FAMILY = 20
const IPPROTO_TCP = 6
/** struct inet_diag_req_v2 */
const REQUEST_BYTES = 56
/** struct inet_diag_msg */
const MESSAGE_BYTES = 72
/** INET_DIAG_* */
const INFO = 2
const SHUTDOWN = 8
const SKV6ONLY = 11
const CGROUP_ID = 21
/** include/net/sock.h. SEND_SHUTDOWN: its process writes no more, so a FIN is the last that it has in its queue. */
const SEND_SHUTDOWN = 2
const SHUTDOWN_MASK = 3
const PIECE_BYTES = 512 * 1024

export function socketsRequest({ family, states, info = false }: Question): Buffer {
  const body = Buffer.alloc(REQUEST_BYTES)
  body.writeUInt8(family, 0)
  body.writeUInt8(IPPROTO_TCP, 1)
  body.writeUInt8(info ? 1 << (INFO - 1) : 0, 2)
  body.writeUInt32LE(
    states.reduce((mask, state) => mask | (1 << state), 0),
    4,
  )
  return request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body)
}

/**
 * The TCP sockets of the network namespace that is open as `namespace` (ours when undefined), in pieces of about a
 * thousand, between which others get their turn. The descriptor is not needed any more when this returns. Throws with
 * code EPERM where the namespace may not be entered; iterating throws ENOENT where the kernel has no tcp_diag.
 */
export function dumpSockets(
  namespace: number | undefined,
  questions: readonly Question[],
): AsyncGenerator<DiagSocket[]> {
  return pieces(openNetlink({ protocol: NETLINK_SOCK_DIAG, ...(namespace !== undefined && { namespace }) }), questions)
}

async function* pieces(netlink: Netlink, questions: readonly Question[]): AsyncGenerator<DiagSocket[]> {
  try {
    for (const question of questions) {
      netlink.begin(socketsRequest(question))
      for (let piece = netlink.next(PIECE_BYTES); piece.length > 0; piece = netlink.next(PIECE_BYTES)) {
        yield [...decodeSockets(piece)]
        await turn()
      }
    }
  } finally {
    netlink.close()
  }
}

/** The sockets of an answer to `socketsRequest`. Throws when the kernel refused. */
export function* decodeSockets(bytes: Buffer): Generator<DiagSocket> {
  for (const { type, at, end, error } of messages(bytes)) {
    if (error) {
      const code = getSystemErrorName(-error)
      const fix = code === 'ENOENT' ? ' · fix: modprobe tcp_diag, or a kernel with CONFIG_INET_DIAG' : ''
      throw Object.assign(new Error(`cannot list TCP sockets: ${code}${fix}`), { code })
    }
    if (type !== SOCK_DIAG_BY_FAMILY) continue
    const socket = decodeSocket(bytes, at, end)
    if (socket) yield socket
  }
}

/** From struct inet_diag_msg on. Undefined for what is shorter, or of another family. */
export function decodeSocket(bytes: Buffer, at: number, end: number): DiagSocket | undefined {
  if (at + MESSAGE_BYTES > end) return undefined
  const family = bytes.readUInt8(at)
  if (family !== 2 && family !== 10) return undefined
  const length = family === 2 ? 4 : 16
  let cgroup: number | undefined
  let v6only = false
  let shutdown = 0
  let info: Attribute | undefined
  for (const found of attributes(bytes, at + MESSAGE_BYTES, end)) {
    const size = found.end - found.at
    if (found.type === INFO) info = found
    else if (found.type === SHUTDOWN && size >= 1) shutdown = bytes.readUInt8(found.at)
    else if (found.type === CGROUP_ID && size === 8) cgroup = u64(bytes, found.at)
    else if (found.type === SKV6ONLY && size >= 1) v6only = bytes.readUInt8(found.at) !== 0
  }
  const sendQueue = bytes.readUInt32LE(at + 60)
  return {
    state: bytes.readUInt8(at + 1),
    sourcePort: bytes.readUInt16BE(at + 4),
    destinationPort: bytes.readUInt16BE(at + 6),
    source: unmapped(bytes.subarray(at + 8, at + 8 + length)),
    destination: unmapped(bytes.subarray(at + 24, at + 24 + length)),
    cookie: u64(bytes, at + 44),
    receiveQueue: bytes.readUInt32LE(at + 56),
    sendQueue,
    uid: bytes.readUInt32LE(at + 64),
    inode: bytes.readUInt32LE(at + 68),
    cgroup,
    isShut: shutdown === SHUTDOWN_MASK,
    v6only,
    info: info && decodeTcpInfo(bytes, info.at, info.end),
    dialled: info && hasDialled(bytes, info, sendQueue, (shutdown & SEND_SHUTDOWN) !== 0),
  }
}

/** struct tcp_info, which grows at its end. */
const UNACKED_AT = 24
const RTT_AT = 68
const TOTAL_RETRANS_AT = 100
const BYTES_ACKED_AT = 120
const BYTES_RECEIVED_AT = 128
const NOTSENT_BYTES_AT = 144
const MIN_RTT_AT = 148
const BYTES_SENT_AT = 200
const BYTES_RETRANS_AT = 208
const NO_RTT = 0xffffffff

/** Undefined for what is shorter than the first kernels with netlink had it. */
export function decodeTcpInfo(bytes: Buffer, at: number, end: number): TcpInfo | undefined {
  const has = (offset: number, size: number) => at + offset + size <= end
  if (!has(TOTAL_RETRANS_AT, 4)) return undefined
  const rtt = bytes.readUInt32LE(at + RTT_AT)
  const minRtt = has(MIN_RTT_AT, 4) ? bytes.readUInt32LE(at + MIN_RTT_AT) : NO_RTT
  return {
    rttUs: rtt === 0 ? undefined : rtt,
    minRttUs: minRtt === NO_RTT || minRtt === 0 ? undefined : minRtt,
    retransmits: bytes.readUInt32LE(at + TOTAL_RETRANS_AT),
    // bytes_acked would count SYN and FIN as well.
    sentBytes: has(BYTES_RETRANS_AT, 8)
      ? u64(bytes, at + BYTES_SENT_AT) - u64(bytes, at + BYTES_RETRANS_AT)
      : undefined,
    receivedBytes: has(BYTES_RECEIVED_AT, 8) ? u64(bytes, at + BYTES_RECEIVED_AT) : undefined,
  }
}

/**
 * What is acknowledged and what is under way are together what was sent, and one more for the SYN, but that counts only
 * on the side that sent it first; and one more for a FIN that has left. As is_incoming in bpf/tcp_reading.h has it.
 */
function hasDialled(bytes: Buffer, info: Attribute, sendQueue: number, hasFin: boolean): boolean | undefined {
  const { at, end } = info
  if (at + BYTES_RETRANS_AT + 8 > end) return undefined
  const segments = bytes.readUInt32LE(at + UNACKED_AT)
  const unsent = bytes.readUInt32LE(at + NOTSENT_BYTES_AT)
  // tcp_get_info reads under the socket's lock, but the queue is read before that (tcp_diag_get_info). So it is believed
  // only where something is under way, and not if it then had less than a byte for each segment.
  const underWay = segments === 0 ? 0 : sendQueue - unsent
  if (underWay < segments) return undefined
  const sent = bytes.readUInt32LE(at + BYTES_SENT_AT) - bytes.readUInt32LE(at + BYTES_RETRANS_AT)
  const sequence = underWay + bytes.readUInt32LE(at + BYTES_ACKED_AT) - sent - (hasFin && unsent === 0 ? 1 : 0)
  // Of each the lower half, so what is left is exact in 32 bits.
  return sequence >>> 0 > 1 ? undefined : sequence >>> 0 === 1
}

/** Exact below 2^53. */
const u64 = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32
