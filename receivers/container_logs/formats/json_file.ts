// Docker's driver json-file: {"log":"…\n","stream":"stdout","time":"2026-…Z"}, one object a line, the keys in this order
// (moby, daemon/logger/jsonfilelog/jsonlog). Lines longer than 16 KiB come in pieces; only the last ends with \n.
import type { Decoded } from '../lines.ts'
import { NEWLINE, reserve } from '../lines.ts'
import type { Format, FormatOptions } from './format.ts'
import { hasAt } from './has_at.ts'
import { holdLines, type Output } from './held.ts'
import { lineBoundary } from './text.ts'
import { timestampMs } from './timestamp.ts'

const BEGIN = Buffer.from('{"log":"')
const STREAM = Buffer.from('","stream":"std')
const TIME = Buffer.from('"time":"')
const QUOTE = 34
const BACKSLASH = 92
const LETTER_O = 111
const BRACE = 125
/** 2026-11-25T14:14:33 */
const SECONDS_BYTES = 19
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
/** Bytes without an escape, after which more of them are expected. */
const LONG_RUN = 16

/** By the byte after the backslash; 0 for what is longer (`u`) or no escape. */
const ESCAPES = new Uint8Array(256)
for (const [letter, byte] of Object.entries(ESCAPED)) ESCAPES[letter.charCodeAt(0)] = byte

export function jsonFile({ maxLineBytes }: FormatOptions): Format {
  const { add, ...held } = holdLines(maxLineBytes)

  /**
   * Answers where the record ends, -1 when it is not whole, or not as Docker writes it. Its line is unescaped to where
   * lines of stdout go, so that most are copied once.
   */
  function usual(bytes: Buffer, start: number, at: number, into: Decoded): number {
    if (!hasAt(bytes, start, BEGIN)) return -1
    // Unescaping never makes it longer: \u00e4 is six bytes for two.
    reserve(into.stdout, bytes.length - start)
    const { bytes: to, length: begin } = into.stdout
    let length = begin
    let from = start + BEGIN.length
    let backslash = -1
    for (let run = from; ; ) {
      if (from - run >= LONG_RUN) {
        // What is long has no more of them, most often: then searching and copying is what machines are good at.
        if (backslash < from) backslash = bytes.indexOf(BACKSLASH, from)
        if (backslash === -1) backslash = bytes.length
        const quote = bytes.indexOf(QUOTE, from)
        if (quote === -1) return -1
        const stop = Math.min(quote, backslash)
        bytes.copy(to, length, from, stop)
        length += stop - from
        from = stop
      }
      const byte = bytes[from] ?? NEWLINE
      if (byte === QUOTE) break
      if (byte !== BACKSLASH) {
        if (byte === NEWLINE) return -1
        to[length++] = byte
        from++
        continue
      }
      const plain = ESCAPES[bytes[from + 1] ?? 0] ?? 0
      if (plain !== 0) {
        to[length++] = plain
        from += 2
        run = from
        continue
      }
      const code = hex4(bytes, from + 2)
      if (Number.isNaN(code)) return -1
      from += 6
      run = from
      if (code < 0x80) to[length++] = code
      else {
        const low = code >= 0xd800 && code < 0xdc00 && bytes[from] === BACKSLASH ? hex4(bytes, from + 2) : Number.NaN
        const pair = low >= 0xdc00 && low < 0xe000
        if (pair) from += 6
        length += to.write(pair ? String.fromCharCode(code, low) : String.fromCharCode(code), length)
      }
    }
    if (!hasAt(bytes, from, STREAM)) return -1
    const output: Output = bytes[from + STREAM.length] === LETTER_O ? 'stdout' : 'stderr'
    const time = afterTime(bytes, from + STREAM.length + 'out",'.length)
    const end = time === -1 ? -1 : bytes.indexOf(QUOTE, time + SECONDS_BYTES)
    if (end === -1 || bytes[end + 1] !== BRACE || bytes[end + 2] !== NEWLINE) return -1
    const writtenMs = timestampMs(bytes, time, end)
    const last = length - begin < WHOLE_PIECE || to[length - 1] === NEWLINE
    add(output, { bytes: to, start: begin, end: length, last, writtenMs, at }, into)
    return end + 3
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
      add(output, { bytes: text, start: 0, end: text.length, last, writtenMs, at }, into)
    } catch {
      into.damaged++ // a crash of the machine leaves such: NUL bytes, half an object
    }
  }

  return {
    timed: true,
    isText: true,
    decode(bytes, at, into) {
      for (let start = 0; ; ) {
        let end = usual(bytes, start, at + start, into)
        if (end === -1) {
          end = bytes.indexOf(NEWLINE, start) + 1
          if (end === 0) return start
          if (end > start + 1) odd(bytes, start, end - 1, at + start, into)
        }
        start = end
      }
    },
    rest(_bytes, into) {
      into.damaged++
    },
    ...held,
    boundary: lineBoundary,
  }
}

/** Where the time begins, most often right there; with labels or env wanted there is "attrs":{…} before it. */
function afterTime(bytes: Buffer, at: number): number {
  if (hasAt(bytes, at, TIME)) return at + TIME.length
  const time = bytes.indexOf(TIME, at)
  return time === -1 || time > bytes.indexOf(NEWLINE, at) ? -1 : time + TIME.length
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
