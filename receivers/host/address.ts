// IP addresses as the kernel has them, 4 or 16 bytes in network order, and as people write them (RFC 5952).

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

/** An IPv4 address that stands in an IPv6 one (::ffff:10.0.0.1) as the 4 bytes it is; others as they are. */
export function unmapped(address: Uint8Array): Uint8Array {
  return address.length === 16 && MAPPED.equals(address.subarray(0, 12)) ? address.subarray(12) : address
}

/** `10.0.0.1`, `2001:db8::1`; v4-mapped ones as IPv4. '' for what has neither 4 nor 16 bytes. */
export function addressText(address: Uint8Array): string {
  const bytes = unmapped(address)
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`
  if (bytes.length !== 16) return ''
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0))
  const { at, length } = longestZeros(groups)
  const hex = (some: readonly number[]) => some.map((group) => group.toString(16)).join(':')
  // One group of zeros alone is not shortened (RFC 5952, 4.2.2).
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, at))}::${hex(groups.slice(at + length))}`
}

function longestZeros(groups: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 }
  for (let at = 0; at < groups.length; at++) {
    let length = 0
    while (groups[at + length] === 0) length++
    if (length > best.length) best = { at, length }
    at += length
  }
  return best
}

/** `10.0.0.1:80`, `[2001:db8::1]:80`. */
export function endpointText(address: Uint8Array, port: number): string {
  const text = addressText(address)
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`
}

/** The bytes of an address in text; undefined for what is none. A zone (`%eth0`) is none of the address. */
export function addressBytes(text: string): Uint8Array | undefined {
  const v4 = v4Bytes(text)
  if (v4 !== undefined) return Uint8Array.from(v4)
  const halves = text.split('%')[0]?.split('::') ?? []
  if (!text.includes(':') || halves.length > 2) return undefined
  const [before, after] = halves.map((half, i) => v6Bytes(half, i === halves.length - 1))
  if (before === undefined || (halves.length === 2 && after === undefined)) return undefined
  const zeros = 16 - before.length - (after?.length ?? 0)
  if (halves.length === 2 ? zeros < 2 : zeros !== 0) return undefined
  return Uint8Array.from([...before, ...Array<number>(zeros).fill(0), ...(after ?? [])])
}

function v4Bytes(text: string): number[] | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number)
  return parts?.every((part) => part <= 255) ? parts : undefined
}

/** Of one side of `::`. The last part of the whole address may be written as IPv4. */
function v6Bytes(side: string, isLast: boolean): number[] | undefined {
  if (side === '') return []
  const bytes: number[] = []
  const parts = side.split(':')
  for (const [i, part] of parts.entries()) {
    const v4 = isLast && i === parts.length - 1 ? v4Bytes(part) : undefined
    if (v4 !== undefined) bytes.push(...v4)
    else if (/^[0-9a-f]{1,4}$/i.test(part)) bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff)
    else return undefined
  }
  return bytes
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: Uint8Array): boolean {
  const bytes = unmapped(address)
  if (bytes.length === 4) return bytes[0] === 127
  return bytes.length === 16 && bytes[15] === 1 && bytes.subarray(0, 15).every((byte) => byte === 0)
}

/** 0.0.0.0 and ::, which stand for every address of a namespace. */
export function isUnspecified(address: Uint8Array): boolean {
  return (address.length === 4 || address.length === 16) && address.every((byte) => byte === 0)
}

export function sameAddress(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false
  return true
}
