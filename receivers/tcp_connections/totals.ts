// Decodes what bpf/tcp_connections.bpf.c sums in its map `totals`: struct key → struct totals.
import type { MapContent } from '../../native/index.ts'
import { addressText } from '../host/address.ts'
import { withPort } from './filter.ts'

/**
 * Upper bounds of the histograms in seconds, as `bounds_us` has them: the same rack, the same site, the same continent,
 * the other side of the world, and a SYN that was sent again. One bucket more for what is above; each is a series.
 */
export const BOUNDS_S: readonly number[] = [0.0005, 0.002, 0.01, 0.05, 0.25, 1]
export const BUCKETS = BOUNDS_S.length + 1

/** `enum failure`, in its order: values of `error.type`. */
export const FAILURES = [
  'refused',
  'timed_out',
  'host_unreachable',
  'net_unreachable',
  'reset',
  'abandoned',
  'no_address',
  'other',
] as const

// Words of struct totals; the first four are of 64 bits. The same places in what we add up.
export const SENT = 0
export const RECEIVED = 1
export const CONNECT_NS = 2
export const RTT_US = 3
export const CONNECTS = 4
export const TIMED_CONNECTS = 5
export const RETRANSMITS = 6
export const RESETS_SENT = 7
export const RESETS_RECEIVED = 8
export const FAILED = 9
export const CONNECT_TIMES = FAILED + FAILURES.length
export const RTTS = CONNECT_TIMES + BUCKETS
/** How many numbers that only grow there are. */
export const NUMBERS = RTTS + BUCKETS

/** Where each of them is in struct totals, in words of 32 bits, the wide ones first. */
const WIDE_WORDS = [0, 2, 4, 6]
const ACTIVE_WORD = 10
const MIN_RTT_WORD = 14
const MIN_RTT_PASS_WORD = 15
const NARROW_WORDS = [8, 9, 11, 12, 13, ...Array.from({ length: FAILURES.length + 2 * BUCKETS }, (_, i) => 16 + i)]
const WORDS = 16 + FAILURES.length + 2 * BUCKETS

export const KEY_SIZE = 32
export const VALUE_SIZE = WORDS * 4

/** `enum kind`. */
const KINDS = {
  1: { incoming: false, state: 'direct' },
  2: { incoming: false, state: 'unresolved' },
  3: { incoming: false, state: 'folded' },
  4: { incoming: true, state: 'direct' },
  5: { incoming: true, state: 'folded' },
} as const

/** What a number is about. */
export type Key = {
  readonly cgroup: number
  readonly netns: number
  /** For accepted connections the local address, else the one that was dialled; '' for `folded`. Without port. */
  readonly address: string
  readonly port: number
  readonly incoming: boolean
  /** `unresolved`: nobody could be asked in time who answered. `folded`: one too many, so its address is not kept. */
  readonly state: 'direct' | 'unresolved' | 'folded'
}

/** Undefined for what is no key of ours. */
export function decodeKey(bytes: Buffer): Key | undefined {
  const kind = KINDS[bytes[30] as keyof typeof KINDS]
  if (bytes.length < KEY_SIZE || kind === undefined) return undefined
  return {
    cgroup: Number(bytes.readBigUInt64LE(0)),
    netns: bytes.readUInt32LE(24),
    address: kind.state === 'folded' ? '' : addressText(bytes.subarray(8, 24)),
    port: bytes.readUInt16LE(28),
    ...kind,
  }
}

export const keyText = ({ address, port, state }: Key): string => (state === 'folded' ? '' : withPort(address, port))

/** Throws when the object is not the one this was written for. */
export function checkSizes({ keySize, valueSize }: MapContent): void {
  if (keySize === KEY_SIZE && valueSize === VALUE_SIZE) return
  throw new Error(
    `tcp_connections.bpf.o is of another version (keys of ${keySize}, values of ${valueSize} bytes) · fix: build it again: bash native/setup.sh build`,
  )
}

/** One value as it was read the last time, so that the next one is added as a difference: the narrow ones wrap. */
export type Seen = Uint32Array

export const nothingSeen = (): Seen => new Uint32Array(WORDS)

/**
 * Adds to `sums` what `value` has more than `seen`, and remembers it. False when nothing changed.
 */
export function addDifference(value: Buffer, seen: Seen, sums: Float64Array): boolean {
  const aligned = value.byteOffset % 4 === 0 ? value : Buffer.from(value)
  const now = new Uint32Array(aligned.buffer, aligned.byteOffset, WORDS)
  let changed = false
  for (let i = 0; i < WORDS; i++) if (now[i] !== seen[i]) changed = true
  if (!changed) return false
  for (let i = 0; i < WIDE_WORDS.length; i++) {
    const word = WIDE_WORDS[i] ?? 0
    sums[i] = (sums[i] ?? 0) + wide(now, word) - wide(seen, word)
  }
  for (let i = 0; i < NARROW_WORDS.length; i++) {
    const word = NARROW_WORDS[i] ?? 0
    sums[4 + i] = (sums[4 + i] ?? 0) + (((now[word] ?? 0) - (seen[word] ?? 0)) >>> 0)
  }
  seen.set(now)
  return true
}

const wide = (words: Uint32Array, at: number): number => (words[at] ?? 0) + (words[at + 1] ?? 0) * 2 ** 32

/** Open connections. */
export const activeOf = (seen: Seen): number => (seen[ACTIVE_WORD] ?? 0) | 0

/** The smallest round trip in microseconds that was measured since `pass` began; undefined when there was none. */
export function minRttOf(seen: Seen, pass: number): number | undefined {
  const us = seen[MIN_RTT_WORD] ?? 0
  return seen[MIN_RTT_PASS_WORD] === pass && us > 0 && us < 0xffffffff ? us : undefined
}

export function bucketOf(us: number): number {
  const bucket = BOUNDS_S.findIndex((bound) => us <= bound * 1e6)
  return bucket < 0 ? BOUNDS_S.length : bucket
}
