// Which capabilities this process has (capabilities(7)), out of /proc/self/status.
import { readFileSync } from 'node:fs'

/** Bits of include/uapi/linux/capability.h. */
const BITS = {
  NET_BROADCAST: 11n,
  NET_ADMIN: 12n,
  NET_RAW: 13n,
  SYS_PTRACE: 19n,
  SYS_ADMIN: 21n,
  PERFMON: 38n,
  BPF: 39n,
}

export type Capability = keyof typeof BITS

/** The kernel takes SYS_ADMIN for these as well. */
const PARTS_OF_SYS_ADMIN: ReadonlySet<Capability> = new Set(['BPF', 'PERFMON'])

export function capabilities(status: string): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
}

export function hasCapability(name: Capability, status = readFileSync('/proc/self/status', 'latin1')): boolean {
  const held = capabilities(status)
  const has = (bit: bigint) => (held >> bit) % 2n === 1n
  return has(BITS[name]) || (PARTS_OF_SYS_ADMIN.has(name) && has(BITS.SYS_ADMIN))
}
