// ICMP and ICMPv6 echo (RFC 792, RFC 4443): writes requests, and finds in what comes back which request it belongs to.
// The send time is in no packet: whoever answers cannot lie about it.

export type Family = 4 | 6

/** What a socket puts into all of its requests, so that it knows its own again. */
export type Signature = {
  /** The identifier in the ICMP header. */
  readonly ident: number
  /** Random bytes that nobody who has not seen a request can guess. */
  readonly nonce: Uint8Array
}

export const NONCE_BYTES = 8
const HEADER_BYTES = 8
const INDEX_AT = HEADER_BYTES + NONCE_BYTES
/** As long as ping's: above the 60 bytes to which network cards pad. */
export const REQUEST_BYTES = 64

const REQUEST = { 4: 8, 6: 128 } as const
const REPLY = { 4: 0, 6: 129 } as const

/** Writes REQUEST_BYTES at `at`, which hold zeros. `index` counts the requests of a socket; its low half is the sequence number. */
export function writeRequest(
  into: Buffer,
  at: number,
  family: Family,
  { ident, nonce }: Signature,
  index: number,
): void {
  into[at] = REQUEST[family]
  into.writeUInt16BE(ident, at + 4)
  into.writeUInt16BE(index & 0xffff, at + 6)
  into.set(nonce, at + HEADER_BYTES)
  into.writeUInt32BE(index, at + INDEX_AT)
  // ICMPv6's covers addresses that only the kernel knows, so the kernel writes it.
  if (family === 4) into.writeUInt16BE(checksum(into, at, REQUEST_BYTES), at + 2)
}

/** RFC 1071, over an even number of bytes. */
export function checksum(bytes: Buffer, at: number, length: number): number {
  let sum = 0
  for (let i = at; i < at + length; i += 2) sum += bytes.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** The ICMP message in what an IPv4 raw socket returns, which begins with the IP header. */
export function withoutIpHeader(data: Buffer): Buffer | undefined {
  const length = ((data[0] ?? 0) & 0xf) * 4
  return (data[0] ?? 0) >> 4 === 4 && length >= 20 && data.length >= length ? data.subarray(length) : undefined
}

export type Reading =
  | { readonly kind: 'reply'; readonly index: number }
  /** Our identifier, but not what we sent. */
  | { readonly kind: 'forged' }
  /** A reply to one of ours that does not hold all that was sent. */
  | { readonly kind: 'truncated' }
  /** No reply, or to somebody else. */
  | { readonly kind: 'foreign' }

const FOREIGN: Reading = { kind: 'foreign' }
const FORGED: Reading = { kind: 'forged' }
const TRUNCATED: Reading = { kind: 'truncated' }

/** Reads an ICMP message that came back. */
export function readReply(message: Buffer, family: Family, { ident, nonce }: Signature): Reading {
  if (message.length < HEADER_BYTES) return FOREIGN
  if (message[0] !== REPLY[family] || message[1] !== 0 || message.readUInt16BE(4) !== ident) return FOREIGN
  const there = message.subarray(HEADER_BYTES, INDEX_AT)
  if (!there.equals(nonce.subarray(0, there.length))) return FORGED
  if (message.length < REQUEST_BYTES) return TRUNCATED
  const index = message.readUInt32BE(INDEX_AT)
  return (index & 0xffff) === message.readUInt16BE(6) ? { kind: 'reply', index } : FORGED
}

/**
 * The index of the request in a packet of ours with any headers before it, as a time stamp returns it. Undefined when
 * it cannot be read, because the packet was encrypted for instance.
 */
export function indexIn(packet: Buffer, { nonce }: Signature): number | undefined {
  const at = packet.indexOf(nonce) + NONCE_BYTES
  return at >= NONCE_BYTES && packet.length >= at + 4 ? packet.readUInt32BE(at) : undefined
}

/**
 * The low half of the index of the request that an ICMP error quotes; the whole where enough is quoted. Undefined when
 * it is not ours. Routers may quote 8 bytes only.
 */
export function quotedIndex(quote: Buffer, family: Family, { ident, nonce }: Signature) {
  if (quote.length < HEADER_BYTES || quote[0] !== REQUEST[family] || quote.readUInt16BE(4) !== ident) return undefined
  const there = quote.subarray(HEADER_BYTES, INDEX_AT)
  if (!there.equals(nonce.subarray(0, there.length))) return undefined
  return quote.length >= INDEX_AT + 4
    ? { index: quote.readUInt32BE(INDEX_AT), whole: true }
    : { index: quote.readUInt16BE(6), whole: false }
}
