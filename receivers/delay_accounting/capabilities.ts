// Which capabilities this process has (capabilities(7)), out of /proc/self/status.
import { readFileSync } from 'node:fs'

/** Bits of include/uapi/linux/capability.h. */
const BITS = { NET_ADMIN: 12n, SYS_ADMIN: 21n, PERFMON: 38n, BPF: 39n }

export function capabilities(status: string): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
}

/** SYS_ADMIN stands for BPF and PERFMON, as the kernel takes it. */
export function hasCapability(
  name: 'BPF' | 'PERFMON' | 'NET_ADMIN',
  status = readFileSync('/proc/self/status', 'latin1'),
) {
  const held = capabilities(status)
  const has = (bit: bigint) => (held >> bit) % 2n === 1n
  return has(BITS[name]) || (name !== 'NET_ADMIN' && has(BITS.SYS_ADMIN))
}
