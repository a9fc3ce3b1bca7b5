// Addresses as bpf/tcp_connections.bpf.c has them (16 bytes, IPv4 as ::ffff:a.b.c.d) and as people write them:
// IPv4 in dots, IPv6 by RFC 5952, with a port as RFC 3986 has it. A v4-mapped address is the IPv4 address it stands for.

/** `bytes` holds 16 bytes from `at` on. */
export function addressText(bytes: Uint8Array, at = 0): string {
  if (isMapped(bytes, at)) return `${bytes[at + 12]}.${bytes[at + 13]}.${bytes[at + 14]}.${bytes[at + 15]}`
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[at + 2 * i] ?? 0) << 8) | (bytes[at + 2 * i + 1] ?? 0))
  const { start, length } = longestZeros(groups)
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return hex(groups)
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`
}

/** `1.2.3.4:80`, `[2001:db8::1]:80`. */
export const withPort = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

export function isMapped(bytes: Uint8Array, at = 0): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff
}

/** 127.0.0.0/8 and ::1: they mean another machine in each network namespace. */
export const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')

export const isUnspecified = (address: string): boolean => address === '::' || address === '0.0.0.0'

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue
    if (i - start > best.length) best = { start, length: i - start }
    start = i + 1
  }
  return best
}
