// Decodes what bpf/delay_accounting.bpf.c keeps: `struct totals` per control group and `struct counters`.
import type { MapContent } from '../../native/index.ts'
import { delayNames } from './delays.ts'
import { DELAYS, type Totals } from './source.ts'

const PASS_AT = DELAYS * 8
const UNMEASURED_AT = PASS_AT + 8
const UNMEASURED_ENDED_AT = UNMEASURED_AT + 8
export const TOTALS_SIZE = UNMEASURED_ENDED_AT + 8

const REFUSED_AT = 0
const NO_STORAGE_AT = 8
const COUNTED_AT = 16
const COUNTERS_SIZE = 24

/** Totals after pass number `pass`. Throws when the object is not the one this was written for. */
export function decodeTotals({ count, keySize, valueSize, keys, values }: MapContent, pass: number): Totals[] {
  if (keySize !== 8 || valueSize !== TOTALS_SIZE) {
    throw new Error(
      `delay_accounting.bpf.o is of another version (keys of ${keySize}, values of ${valueSize} bytes) · fix: build it again: bash native/setup.sh build`,
    )
  }
  const u64 = (at: number) => values.readUInt32LE(at) + values.readUInt32LE(at + 4) * 2 ** 32
  const all: Totals[] = []
  for (let i = 0; i < count; i++) {
    const at = i * TOTALS_SIZE
    if (at + TOTALS_SIZE > values.length || i * 8 + 8 > keys.length) break // cut short: what is whole counts
    const ns = new Float64Array(DELAYS)
    for (let delay = 0; delay < DELAYS; delay++) ns[delay] = u64(at + delay * 8)
    all.push({
      cgroup: Number(keys.readBigUInt64LE(i * 8)),
      ns,
      unmeasured: u64(at + PASS_AT) === pass ? u64(at + UNMEASURED_AT) : 0,
      unmeasuredEnded: u64(at + UNMEASURED_ENDED_AT),
    })
  }
  return all
}

export type Counters = {
  /** Delays that went to the control group 0, because the map was full. */
  readonly refused: number
  /** Times that the kernel had no memory to remember a task. */
  readonly noStorage: number
  /** Whether this kernel counts a delay, in the order of `delayNames`. */
  readonly counted: readonly boolean[]
}

/** Undefined when it is too short. */
export function decodeCounters(value: Uint8Array | undefined): Counters | undefined {
  if (value === undefined || value.length < COUNTERS_SIZE) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const bits = view.getUint32(COUNTED_AT, true)
  return {
    refused: Number(view.getBigUint64(REFUSED_AT, true)),
    noStorage: Number(view.getBigUint64(NO_STORAGE_AT, true)),
    counted: delayNames.map((_, delay) => (bits & (1 << delay)) !== 0),
  }
}
