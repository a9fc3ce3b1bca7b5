// Docker's driver json-file: {"log":"…\n","stream":"stdout","time":"2026-…Z"}, one object a line, the keys in this order
// (moby, daemon/logger/jsonfilelog/jsonlog). Lines longer than 16 KiB come in pieces; only the last ends with \n.
import type { Decoded } from '../lines.ts'
import { NEWLINE } from '../lines.ts'
import type { Format, FormatOptions } from './format.ts'
import { holdLines, type Output } from './held.ts'
import { lineBoundary } from './text.ts'
import { timestampMs } from './timestamp.ts'

const BEGIN = Buffer.from('{"log":"')
const STREAM = Buffer.from('","stream":"std')
const TIME = Buffer.from('"time":"')
const QUOTE = 34
const BACKSLASH = 92
const LETTER_O = 111
const END = '"}'.length
/** A piece of a longer line fills Docker's buffer (moby, daemon/logger/copier.go); a shorter one ends, newline or not. */
const WHOLE_PIECE = 16 << 10

const ESCAPED: Readonly<Record<string, number>> = {
  n: 10,
  r: 13,
  t: 9,
  b: 8,
  f: 12,
  '"': QUOTE,
  '\\': BACKSLASH,
  '/': 47,
}
/** By the byte after the backslash; 0 for what is longer (`u`) or no escape. */
const ESCAPES = new Uint8Array(256)
for (const [letter, byte] of Object.entries(ESCAPED)) ESCAPES[letter.charCodeAt(0)] = byte

export function jsonFile({ maxLineBytes }: FormatOptions): Format {
  const held = holdLines(maxLineBytes)
  let scratch = Buffer.alloc(1 << 15)

  function record(bytes: Buffer, start: number, end: number, at: number, into: Decoded): void {
    if (!usual(bytes, start, end, at, into)) odd(bytes, start, end, at, into)
  }

  /** False when it is not as Docker writes it. */
  function usual(bytes: Buffer, start: number, end: number, at: number, into: Decoded): boolean {
    if (!hasAt(bytes, start, BEGIN)) return false
    // Unescaping never makes it longer: \u00e4 is six bytes for two.
    if (scratch.length < end - start) scratch = Buffer.alloc(2 * (end - start))
    let from = start + BEGIN.length
    let length = 0
    while (from < end) {
      const byte = bytes[from] ?? 0
      if (byte === QUOTE) break
      if (byte !== BACKSLASH) {
        scratch[length++] = byte
        from++
        continue
      }
      const plain = ESCAPES[bytes[from + 1] ?? 0] ?? 0
      if (plain !== 0) {
        scratch[length++] = plain
        from += 2
        continue
      }
      const code = hex4(bytes, from + 2)
      if (Number.isNaN(code)) return false
      from += 6
      if (code < 0x80) scratch[length++] = code
      else {
        const low = code >= 0xd800 && code < 0xdc00 && bytes[from] === BACKSLASH ? hex4(bytes, from + 2) : Number.NaN
        const pair = low >= 0xdc00 && low < 0xe000
        if (pair) from += 6
        length += scratch.write(pair ? String.fromCharCode(code, low) : String.fromCharCode(code), length)
      }
    }
    if (!hasAt(bytes, from, STREAM)) return false
    const output: Output = bytes[from + STREAM.length] === LETTER_O ? 'stdout' : 'stderr'
    // With labels or env wanted there is "attrs":{…} between, so the time is looked for from there.
    const time = bytes.indexOf(TIME, from + STREAM.length)
    const writtenMs = time === -1 || time > end ? Number.NaN : timestampMs(bytes, time + TIME.length, end - END)
    const last = length < WHOLE_PIECE || scratch[length - 1] === NEWLINE
    held.add(output, { bytes: scratch, start: 0, end: length, last, writtenMs, at }, into)
    return true
  }

  /** Another order of keys, or no such object at all. */
  function odd(bytes: Buffer, start: number, end: number, at: number, into: Decoded): void {
    try {
      const { log, stream, time } = JSON.parse(bytes.toString('utf8', start, end)) as Record<string, unknown>
      if (typeof log !== 'string') throw new TypeError('no log')
      const text = Buffer.from(log)
      const writtenMs = typeof time === 'string' ? Date.parse(time) : Number.NaN
      const output: Output = stream === 'stderr' ? 'stderr' : 'stdout'
      const last = text.length < WHOLE_PIECE || log.endsWith('\n')
      held.add(output, { bytes: text, start: 0, end: text.length, last, writtenMs, at }, into)
    } catch {
      into.damaged++ // a crash of the machine leaves such: NUL bytes, half an object
    }
  }

  return {
    timed: true,
    isText: true,
    decode(bytes, at, into) {
      let start = 0
      for (;;) {
        const end = bytes.indexOf(NEWLINE, start)
        if (end === -1) return start
        if (end > start) record(bytes, start, end, at + start, into)
        start = end + 1
      }
    },
    heldFrom: held.from,
    rest(_bytes, into) {
      into.damaged++
    },
    flush: held.flush,
    nextFile: held.nextFile,
    reset: held.reset,
    boundary: lineBoundary,
  }
}

function hasAt(bytes: Buffer, at: number, wanted: Buffer): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false
  return true
}

function hex4(bytes: Buffer, at: number): number {
  if (bytes[at - 1] !== 117) return Number.NaN // u
  let value = 0
  for (let i = at; i < at + 4; i++) {
    const byte = bytes[i] ?? 0
    const digit = byte >= 48 && byte <= 57 ? byte - 48 : byte >= 97 && byte <= 102 ? byte - 87 : byte - 55
    if (!(digit >= 0 && digit <= 15) || (byte > 57 && byte < 65)) return Number.NaN
    value = value * 16 + digit
  }
  return value
}
