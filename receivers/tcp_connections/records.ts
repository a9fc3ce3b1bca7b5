// Decodes struct record of bpf/tcp_records.h: one connection, or one listening socket.
import { FAILURES } from './totals.ts'

export const RECORD_SIZE = 120

const EVENTS = [
  '',
  'opened',
  'failed',
  'closed',
  'lives',
  'listens',
  'end_lost',
  'left',
  'reset_late',
  'reset_sent',
] as const

export type Connection = {
  /**
   * `left`: closed or shut down in both directions; the kernel may have to do with it for a while. `end_lost`: nobody
   * saw it end; only its socket, its control group and its numbers are known. `reset_late`: something came after its
   * end, and was answered with a reset; only its addresses are known. `reset_sent`: this side broke it off, as it ended or
   * right after.
   */
  readonly event: Exclude<(typeof EVENTS)[number], ''>
  /** Names the socket as long as it lives. */
  readonly socket: string
  readonly cgroup: number
  /** Of the process that holds the descriptor; 0 where only the socket was looked at. */
  readonly holderCgroup: number
  readonly netns: number
  readonly pid: number
  /** 16 bytes; IPv4 as ::ffff:a.b.c.d. */
  readonly local: Uint8Array
  readonly localPort: number
  readonly remote: Uint8Array
  readonly remotePort: number
  /** Since it was opened. */
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly retransmits: number
  /** 0 before the first measurement. */
  readonly srttUs: number
  readonly minRttUs: number
  /** How long the handshake took; undefined where we did not see its beginning. */
  readonly connectUs: number | undefined
  /** When it was dialled, in nanoseconds of the monotonic clock; 0 where we did not see that. */
  readonly dialledNs: number
  /** Of a listening socket: connections that it had to throw away. */
  readonly drops: number
  /** Place in FAILURES. */
  readonly failure: number
  /** Neither closed nor shut down in both directions. */
  readonly active: boolean
  readonly resetReceived: boolean
  /** A listening socket that takes no IPv4. */
  readonly v6only: boolean
}

/** Undefined for what is no such record. */
export function decodeConnection(bytes: Buffer, at = 0): Connection | undefined {
  if (at + RECORD_SIZE > bytes.length) return undefined
  const event = EVENTS[bytes.readUInt8(at + 96)]
  const failure = bytes.readUInt8(at + 97)
  const flags = bytes.readUInt8(at + 98)
  if (event === undefined || event === '' || failure >= FAILURES.length) return undefined
  const u64 = (place: number) => bytes.readUInt32LE(at + place) + bytes.readUInt32LE(at + place + 4) * 2 ** 32
  const u32 = (place: number) => bytes.readUInt32LE(at + place)
  return {
    event,
    socket: bytes.toString('latin1', at, at + 8),
    cgroup: u64(8),
    holderCgroup: u64(104),
    netns: u32(64),
    pid: u32(88),
    local: bytes.subarray(at + 16, at + 32),
    localPort: bytes.readUInt16LE(at + 68),
    remote: bytes.subarray(at + 32, at + 48),
    remotePort: bytes.readUInt16LE(at + 70),
    sentBytes: u64(48),
    receivedBytes: u64(56),
    retransmits: u32(72),
    srttUs: u32(76),
    minRttUs: u32(80),
    connectUs: u32(84) === 0 ? undefined : u32(84) - 1,
    dialledNs: u64(112),
    drops: u32(92),
    failure,
    active: event !== 'listens' && (flags & 4) !== 0,
    resetReceived: event !== 'listens' && (flags & 8) !== 0,
    v6only: event === 'listens' && (flags & 1) !== 0,
  }
}

/** What an iterator wrote: records end to end. */
export function* decodePass(bytes: Buffer): Generator<Connection> {
  for (let at = 0; at + RECORD_SIZE <= bytes.length; at += RECORD_SIZE) {
    const connection = decodeConnection(bytes, at)
    if (connection !== undefined) yield connection
  }
}

/** What BpfObject.drain returns: for each record u32 length, then the record. */
export function* decodeRing(bytes: Buffer): Generator<Connection> {
  let at = 0
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt32LE(at)
    const connection = length === RECORD_SIZE ? decodeConnection(bytes, at + 4) : undefined
    if (connection !== undefined) yield connection
    at += 4 + length
  }
}
