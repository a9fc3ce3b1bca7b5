// Docker's driver local: protobuf messages LogEntry (moby, api/types/plugins/logdriver/entry.proto), each between two
// u32 (big endian) of its length.
import type { Decoded } from '../lines.ts'
import type { Format, FormatOptions } from './format.ts'
import { holdLines } from './held.ts'

const FRAME_BYTES = 4
/** Docker's pieces are of 16 KiB; what claims to be much more is no record. */
const LONGEST_RECORD = 1 << 20

/** Field numbers of LogEntry and of its PartialLogEntryMetadata. */
const SOURCE = 1
const TIME_NANO = 2
const LINE = 3
const PARTIAL = 4
const PARTIAL_METADATA = 5
const LAST = 1

const VARINT = 0
const BYTES = 2
const LETTER_E = 101

export function local({ maxLineBytes }: FormatOptions): Format {
  const { add, ...held } = holdLines(maxLineBytes)

  function record(bytes: Buffer, start: number, end: number, at: number, into: Decoded): void {
    const fields = fieldsOf(bytes, start, end)
    const line = fields?.get(LINE)
    if (fields === undefined || (line !== undefined && typeof line === 'bigint')) {
      into.damaged++
      return
    }
    const source = fields.get(SOURCE)
    const time = fields.get(TIME_NANO)
    const metadata = fields.get(PARTIAL_METADATA)
    const isPartial = fields.get(PARTIAL) === 1n
    const isLast =
      !isPartial ||
      (metadata !== undefined &&
        typeof metadata !== 'bigint' &&
        fieldsOf(bytes, metadata.start, metadata.end)?.get(LAST) === 1n)
    const isStderr = source !== undefined && typeof source !== 'bigint' && bytes[source.start + 3] === LETTER_E // stdErr
    add(
      isStderr ? 'stderr' : 'stdout',
      {
        bytes,
        start: line?.start ?? 0,
        end: line?.end ?? 0,
        last: isLast,
        writtenMs: typeof time === 'bigint' ? Number(time / 1000n) / 1000 : Number.NaN,
        at,
      },
      into,
    )
  }

  return {
    timed: true,
    isText: false,
    decode(bytes, at, into) {
      let start = 0
      for (;;) {
        const length = frameAt(bytes, start)
        if (length === 'more') return start
        if (length === 'none') {
          // Damage: on with the next record that is whole.
          const next = boundary(bytes, start + 1)
          into.damaged++
          if (next === -1) return start === 0 && bytes.length < LONGEST_RECORD ? 0 : start
          start = next
          continue
        }
        const from = start + FRAME_BYTES
        record(bytes, from, from + length, at + start, into)
        start = from + length + FRAME_BYTES
      }
    },
    rest(_bytes, into) {
      into.damaged++
    },
    ...held,
    boundary,
  }
}

/** The length of the record at `at`; `more` where it is not whole yet, `none` where there is none. */
function frameAt(bytes: Buffer, at: number): number | 'more' | 'none' {
  if (at + FRAME_BYTES > bytes.length) return 'more'
  const length = bytes.readUInt32BE(at)
  if (length === 0 || length > LONGEST_RECORD) return 'none'
  if (at + length + 2 * FRAME_BYTES > bytes.length) return 'more'
  return bytes.readUInt32BE(at + FRAME_BYTES + length) === length ? length : 'none'
}

function boundary(bytes: Buffer, from: number): number {
  for (let at = from; at + FRAME_BYTES <= bytes.length; at++) if (typeof frameAt(bytes, at) === 'number') return at
  return -1
}

type Span = { readonly start: number; readonly end: number }

/** By number: a varint, or where its bytes are. Undefined for what is no message. */
function fieldsOf(bytes: Buffer, start: number, end: number): Map<number, bigint | Span> | undefined {
  const fields = new Map<number, bigint | Span>()
  let at = start
  function varint(): bigint | undefined {
    let value = 0n
    for (let shift = 0n; at < end && shift < 70n; shift += 7n) {
      const byte = bytes[at++] ?? 0
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
    return undefined
  }
  while (at < end) {
    const tag = varint()
    const value = varint()
    if (tag === undefined || value === undefined) return undefined
    const kind = Number(tag & 7n)
    if (kind === VARINT) fields.set(Number(tag >> 3n), value)
    else if (kind === BYTES && value <= BigInt(end - at)) {
      const span = { start: at, end: at + Number(value) }
      fields.set(Number(tag >> 3n), span)
      at = span.end
    } else return undefined
  }
  return fields
}
