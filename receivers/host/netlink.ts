// Puts netlink messages together and takes them apart (netlink(7), include/uapi/linux/netlink.h). Nothing in a message
// is believed: every length is checked against what is there, and what does not fit is not read.

/** Flags of a request. */
export const NLM_F_REQUEST = 0x1
export const NLM_F_DUMP = 0x300

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const HEADER = 16
const NLA_TYPE_MASK = 0x3fff
const NLA_F_NESTED = 0x8000

/** One message in `bytes`: its payload is from `at` to `end`. */
export type Message = {
  readonly type: number
  readonly flags: number
  /** Index of the request, in what Netlink.ask() returns. */
  readonly sequence: number
  readonly at: number
  readonly end: number
  /** The positive error number of an NLMSG_ERROR, or of a dump that failed (NLMSG_DONE); 0 says that all is well. */
  readonly error: number | undefined
}

const aligned = (length: number) => (length + 3) & ~3

/** A request as Netlink.ask() takes it: header, the family's own header, attributes. All padded to 4 bytes. */
export function request(type: number, flags: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const message = Buffer.alloc(HEADER + aligned(body.length))
  message.writeUInt32LE(HEADER + body.length, 0)
  message.writeUInt16LE(type, 4)
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6)
  message.set(body, HEADER)
  return message
}

/** An attribute, padded to 4 bytes. */
export function attribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + aligned(value.length))
  bytes.writeUInt16LE(4 + value.length, 0)
  bytes.writeUInt16LE(type, 2)
  bytes.set(value, 4)
  return bytes
}

/** An attribute that holds others. */
export const nested = (type: number, ...attributes: readonly Uint8Array[]): Buffer =>
  attribute(type | NLA_F_NESTED, Buffer.concat(attributes))

/** The whole messages from `at` to `end`. Ends at the first that is none. */
export function* messages(bytes: Buffer, start = 0, end = bytes.length): Generator<Message> {
  for (let at = start; at + HEADER <= end; ) {
    const length = bytes.readUInt32LE(at)
    if (length < HEADER || at + length > end) return
    const type = bytes.readUInt16LE(at + 4)
    const carriesError = (type === NLMSG_ERROR || type === NLMSG_DONE) && length >= HEADER + 4
    yield {
      type,
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      at: at + HEADER,
      end: at + length,
      error: carriesError ? errorNumber(bytes.readInt32LE(at + HEADER)) : undefined,
    }
    at += aligned(length)
  }
}

/** The kernel's numbers are negative and above -4096; anything else is none. */
const errorNumber = (number: number): number | undefined => (number <= 0 && number > -4096 ? 0 - number : undefined)

export type Attribute = { readonly type: number; readonly at: number; readonly end: number }

/** The whole attributes from `start` to `end`. Ends at the first that is none. */
export function* attributes(bytes: Buffer, start: number, end: number): Generator<Attribute> {
  for (let at = start; at + 4 <= end; ) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > end) return
    yield { type: bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, at: at + 4, end: at + length }
    at += aligned(length)
  }
}

/** Where the value of the first attribute of that type begins, or -1. `valueEnd` tells where it ends. */
export function findAttribute(bytes: Buffer, start: number, end: number, type: number): number {
  for (let at = start; at + 4 <= end; ) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > end) return -1
    if ((bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK) === type) return at + 4
    at += aligned(length)
  }
  return -1
}

/** Where the value that begins at `at`, as `findAttribute` found it, ends. */
export const valueEnd = (bytes: Buffer, at: number): number => at - 4 + bytes.readUInt16LE(at - 4)

export type Datagram = {
  /** Id, in the socket's namespace, of the network namespace it comes from; -1 is the socket's own. */
  readonly namespaceId: number
  readonly at: number
  readonly end: number
}

/** The datagrams of Netlink.drain(). */
export function* datagrams(bytes: Buffer): Generator<Datagram> {
  for (let at = 0; at + 8 <= bytes.length; ) {
    const end = at + 8 + bytes.readUInt32LE(at + 4)
    if (end > bytes.length) return
    yield { namespaceId: bytes.readInt32LE(at), at: at + 8, end }
    at = end
  }
}
