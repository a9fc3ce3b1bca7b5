// Why a probe got no answer, as the kernel or a router said (icmp(7); RFC 792, 1812, 4443).
import { getSystemErrorName } from 'node:util'
import type { Failure } from './statistics.ts'

const ICMP = 2
const ICMPV6 = 3

/** Destination unreachable because somebody forbids it: network, host, communication. */
const PROHIBITED_V4 = new Set([9, 10, 13])
/** No: policy of the administrator, source address, route to be rejected. */
const PROHIBITED_V6 = new Set([1, 5, 6])

export function failureOf({ origin, type, code }: { origin: number; type: number; code: number }): Failure {
  if (origin === ICMP && type === 3) return PROHIBITED_V4.has(code) ? 'prohibited' : 'unreachable'
  if (origin === ICMPV6 && type === 1) return PROHIBITED_V6.has(code) ? 'prohibited' : 'unreachable'
  if ((origin === ICMP && type === 11) || (origin === ICMPV6 && type === 3)) return 'time_exceeded'
  return 'other'
}

/** Of a send that failed; the number is positive. */
export function failureOfSend(error: number): Failure {
  switch (getSystemErrorName(-error)) {
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
    case 'ENETDOWN':
    case 'EADDRNOTAVAIL':
      return 'unreachable'
    case 'EPERM':
      return 'not_permitted'
    case 'EACCES':
      return 'prohibited'
    default:
      return 'other'
  }
}
