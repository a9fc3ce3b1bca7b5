// Decodes what bpf/delay_accounting.bpf.c keeps: `struct totals` per control group and `struct counters`.
import type { MapContent } from '../../native/index.ts'
import { delayNames } from './delays.ts'

const DELAYS = delayNames.length
const PASS_AT = DELAYS * 8
const UNMEASURED_AT = PASS_AT + 8
const TOTALS_SIZE = UNMEASURED_AT + 8

export type Totals = {
  /** Id of the control group; 0 for what did not fit into the map. */
  readonly cgroup: number
  /** In nanoseconds, in the order of `delayNames`. */
  readonly ns: readonly number[]
  /** Living tasks, in pass `pass`, whose disk and memory delays the kernel does not count. */
  readonly unmeasured: number
}

/** Throws when the object is not the one this was written for. */
export function decodeTotals({ count, keySize, valueSize, keys, values }: MapContent, pass: bigint): Totals[] {
  if (keySize !== 8 || valueSize !== TOTALS_SIZE) {
    throw new Error(
      `delay_accounting.bpf.o is of another version (keys of ${keySize}, values of ${valueSize} bytes) · fix: build it again: bash native/setup.sh build`,
    )
  }
  const all: Totals[] = []
  for (let i = 0; i < count; i++) {
    const at = i * TOTALS_SIZE
    if (at + TOTALS_SIZE > values.length || i * 8 + 8 > keys.length) break // cut short: what is whole counts
    all.push({
      cgroup: Number(keys.readBigUInt64LE(i * 8)),
      ns: delayNames.map((_, delay) => Number(values.readBigUInt64LE(at + delay * 8))),
      unmeasured:
        values.readBigUInt64LE(at + PASS_AT) === pass ? Number(values.readBigUInt64LE(at + UNMEASURED_AT)) : 0,
    })
  }
  return all
}

export type Counters = {
  /** Delays that went to the control group 0, because the map was full. */
  readonly refused: number
  /** Tasks for which the kernel had no memory to remember them. */
  readonly noStorage: number
  /** Whether this kernel counts a delay, in the order of `delayNames`. */
  readonly counted: readonly boolean[]
}

/** Undefined when it is too short. */
export function decodeCounters(value: Uint8Array | undefined): Counters | undefined {
  if (value === undefined || value.length < 32) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const bits = Number(view.getBigUint64(24, true))
  return {
    refused: Number(view.getBigUint64(8, true)),
    noStorage: Number(view.getBigUint64(16, true)),
    counted: delayNames.map((_, delay) => (bits & (1 << delay)) !== 0),
  }
}
