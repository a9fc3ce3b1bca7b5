// Decodes what the thread that sends echo requests has seen (native/echo_records.h), in the order in which it did.
// Damaged records cannot come from our own thread; a length that does not fit ends the reading all the same.

/** Nanoseconds since a moment near our start, so that a double holds them exactly for a hundred days. */
export type Nanoseconds = number

type Common = {
  readonly socket: number
  /** CLOCK_REALTIME − CLOCK_MONOTONIC when it was read, as Nanoseconds are. Changes only when the clock is set. */
  readonly offset: Nanoseconds
}

export type EchoRecord = Common &
  (
    | {
        readonly kind: 'sent'
        readonly tag: number
        /** 0, or the error number of the send. */
        readonly error: number
        /** User space's own clock, just before. */
        readonly at: Nanoseconds
      }
    | {
        readonly kind: 'stamp'
        /** `sched`: it came to the packet scheduler; `software`: the driver got it. */
        readonly stamp: 'sched' | 'software'
        /** Requests of this socket before it, as OPT_ID counts them. */
        readonly counter: number
        readonly at: Nanoseconds
        /** The packet with all its headers. */
        data(): Buffer
      }
    | {
        readonly kind: 'error'
        /** SO_EE_ORIGIN_*: 1 local, 2 ICMP, 3 ICMPv6. */
        readonly origin: number
        readonly type: number
        readonly code: number
        readonly error: number
        readonly data: Buffer
      }
    | {
        readonly kind: 'reply'
        /** Undefined when the kernel has not stamped it. */
        readonly at: Nanoseconds | undefined
        /** 16 bytes; of IPv4 the first four. */
        readonly source: Buffer
        readonly data: Buffer
      }
    | { readonly kind: 'failed'; readonly error: number }
  )

const HEADER_BYTES = 48
const SENT = 1
const STAMP = 2
const ERROR = 3
const REPLY = 4
const SCM_TSTAMP_SCHED = 1

const BASE_S = Math.floor(Date.now() / 1000)

export function* decodeRecords(bytes: Buffer): Generator<EchoRecord> {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const end = at + HEADER_BYTES + bytes.readUInt16LE(at)
    if (end > bytes.length) return
    const record = decode(bytes, at, end)
    if (record) yield record
    at = (end + 3) & ~3
  }
}

function decode(bytes: Buffer, at: number, end: number): EchoRecord | undefined {
  const common = { socket: bytes.readUInt32LE(at + 4), offset: time(bytes, at + 24) }
  const number = bytes.readUInt32LE(at + 8)
  const detail = bytes.readInt32LE(at + 12)
  const data = () => bytes.subarray(at + HEADER_BYTES, end)
  switch (bytes[at + 2]) {
    case SENT:
      return { ...common, kind: 'sent', tag: number, error: detail, at: time(bytes, at + 16) }
    case STAMP: {
      const stamp = detail === SCM_TSTAMP_SCHED ? 'sched' : 'software'
      return { ...common, kind: 'stamp', stamp, counter: number, at: time(bytes, at + 16), data }
    }
    case ERROR:
      return {
        ...common,
        kind: 'error',
        origin: number >>> 16,
        type: (number >>> 8) & 0xff,
        code: number & 0xff,
        error: detail,
        data: data(),
      }
    case REPLY: {
      const isStamped = bytes.readUInt32LE(at + 16) > 0
      const source = bytes.subarray(at + 32, at + 48)
      return { ...common, kind: 'reply', at: isStamped ? time(bytes, at + 16) : undefined, source, data: data() }
    }
    default:
      return { ...common, kind: 'failed', error: detail }
  }
}

const time = (bytes: Buffer, at: number): Nanoseconds =>
  (bytes.readUInt32LE(at) - BASE_S) * 1e9 + bytes.readUInt32LE(at + 4)

/** CLOCK_MONOTONIC in milliseconds, as process.hrtime has it. */
export const monotonicMs = (at: Nanoseconds, offset: Nanoseconds): number => (at - offset) / 1e6
