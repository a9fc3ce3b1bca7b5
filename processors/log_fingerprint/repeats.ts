// Programs say the same again and again, numbers aside. What was read of one line holds for every line that differs from
// it only in what reading does not look at. Like recall.ts a shortcut: it answers where reading would come to the same,
// and nowhere else. A line is compared as its outline, in full; that two outlines have the same hash decides nothing.
import { isDigit, isLetter, KINDS, SPACE, skipDigits } from './bytes.ts'
import type { Beginning } from './recall.ts'
import { masked } from './tokens.ts'
import { MAX_QUOTED_BYTES } from './values.ts'
import { MAX_BRACKET_BYTES } from './word.ts'

/** What is known of the line that `findRepeat` found. One object, used again for every line. */
export const repeat = { high: 0, low: 0, level: 0, isBare: false }

/** No line that is longer is looked up. */
const MAX_BYTES = 1000
/** As long as a line is no longer, no limit on a bracket or a quote can be reached in it. */
const UNLIMITED_BYTES = 200
const SLOTS = 4096
const SLOT_WORDS = 64

/** The outline of this line; its first four bytes say what stood before. */
const outline = new Uint8Array(MAX_BYTES + 8)
const outlineWords = new Int32Array(outline.buffer)
let words = 0
let hash = 0

/**
 * What is known, two places for each hash. A place is a row: hash, the halves of the pattern, level and length, and then
 * the outline; together, as one look at a row costs less than one at each of five tables.
 */
const rows = new Int32Array(SLOTS * SLOT_WORDS)
const ROW_HEAD = 4
const MAX_OUTLINE_WORDS = SLOT_WORDS - ROW_HEAD
const BARE = 8
const LENGTH_AT = 8
/** Of each two, the one that was used last. */
const used = new Uint8Array(SLOTS / 2)

/** Where hardly any line repeats, looking costs more than it saves: then only now and then. */
const MANY_MISSES = 128
const A_TRY = 32
const PAUSE_LINES = 256
let misses = 0
let pause = 0

const COPIED = 0
const A_DIGIT = 1
const NEVER = 2
const ROLES: Uint8Array = new Uint8Array(256)
/** What an outline says of a word with a digit. 0 for what is no letter, digit, dot or dash. */
const SIGNS: Uint8Array = new Uint8Array(256)
const NO_HEX = 1
const HAS_DOT = 2
const HAS_DASH = 4
const ENDS_IN_DIGIT = 8
const NO_DIGIT = 16
const IS_SIMPLE = 32
for (let byte = 0; byte < 256; byte++) {
  // A backslash hides the byte behind it. Control bytes mark what an outline leaves out.
  ROLES[byte] = isDigit(byte) ? A_DIGIT : byte < SPACE || byte === 0x5c ? NEVER : COPIED
  if (isDigit(byte)) SIGNS[byte] = IS_SIMPLE
  else if (byte < 128 && isLetter(byte)) SIGNS[byte] = IS_SIMPLE | NO_DIGIT | ((byte | 32) > 0x66 ? NO_HEX : 0)
}
const DOT = 0x2e
const DASH = 0x2d
SIGNS[DOT] = IS_SIMPLE | NO_DIGIT | HAS_DOT
SIGNS[DASH] = IS_SIMPLE | NO_DIGIT | HAS_DASH
const PADDING = 0x1f

/** Whether the rest of a line with this beginning is known. */
export function findRepeat(bytes: Uint8Array, from: number, to: number, known: Beginning): boolean {
  words = 0
  if (pause > 0) {
    pause--
    return false
  }
  const start = from + known.length
  const length = to - start
  if (length > MAX_BYTES) return false
  // Behind a head with a level, and far from all limits, lengths mean nothing.
  const isLoose = known.level !== 0 && (length <= UNLIMITED_BYTES || isWithinLimits(bytes, start, to))
  const end = isLoose ? outlineOf(bytes, start, to) : outlineByLength(bytes, start, to)
  if (end === 0 || end > MAX_OUTLINE_WORDS * 4) return false
  outlineWords[0] = known.level | (known.isSyslog ? 8 : 0) | (isLoose ? 16 : 0)
  pad(end)
  const at = rowOf()
  if (at < 0) {
    if (++misses >= MANY_MISSES) {
      misses = MANY_MISSES - A_TRY
      pause = PAUSE_LINES
    }
    return false
  }
  if (misses > 1) misses -= 2
  repeat.high = rows[at + 1] as number
  repeat.low = rows[at + 2] as number
  const what = rows[at + 3] as number
  repeat.level = what & 7
  repeat.isBare = (what & BARE) !== 0
  return true
}

/** Keeps what was read of the line that `findRepeat` did not know. `text` is where its text begins. */
export function keepRepeat(bytes: Uint8Array, text: number, to: number, level: number, isBare: boolean) {
  if (words === 0 || isSpecial(bytes, text, to)) return
  const pair = hash & (SLOTS / 2 - 1)
  const first = pair * 2 * SLOT_WORDS
  const isSecond = rows[first + 3] !== 0 && (rows[first + SLOT_WORDS + 3] === 0 || used[pair] === 0)
  used[pair] = isSecond ? 1 : 0
  const at = isSecond ? first + SLOT_WORDS : first
  rows[at] = hash
  rows[at + 1] = masked.high
  rows[at + 2] = masked.low
  rows[at + 3] = level | (isBare ? BARE : 0) | (words << LENGTH_AT)
  for (let i = 0; i < words; i++) rows[at + ROW_HEAD + i] = outlineWords[i] as number
}

/** After this every line is read in full until it comes again. */
export function forgetRepeats() {
  rows.fill(0)
  misses = pause = 0
}

/** Requests, JSON and logfmt, where numbers do mean something. */
function isSpecial(bytes: Uint8Array, text: number, to: number): boolean {
  const first = bytes[text] as number
  if (first === 0x22 || first === 0x7b) return true
  let at = text
  while (at < to && (SIGNS[bytes[at] as number] !== 0 || bytes[at] === 0x5f || (bytes[at] as number) >= 128)) at++
  return at >= to ? text >= to : bytes[at] === 0x3d
}

function pad(end: number) {
  let at = end
  while ((at & 3) !== 0) outline[at++] = PADDING
  words = at >> 2
  let mixed = words
  for (let i = 0; i < words; i++) {
    mixed = Math.imul(mixed ^ (outlineWords[i] as number), 0x9e3779b1)
  }
  hash = mixed ^ (mixed >>> 15)
}

function rowOf(): number {
  const pair = hash & (SLOTS / 2 - 1)
  const first = pair * 2 * SLOT_WORDS
  const last = used[pair] === 0 ? first : first + SLOT_WORDS
  if (isAt(last)) return last
  const other = last === first ? first + SLOT_WORDS : first
  if (!isAt(other)) return -1
  used[pair] = other === first ? 0 : 1
  return other
}

function isAt(row: number): boolean {
  if (rows[row] !== hash || (rows[row + 3] as number) >> LENGTH_AT !== words) return false
  const at = row + ROW_HEAD
  for (let i = 0; i < words; i++) if (rows[at + i] !== outlineWords[i]) return false
  return true
}

/** Every digit is as good as another, but for one behind a letter: `debug5` is a level. Returns the end, or 0. */
function outlineByLength(bytes: Uint8Array, from: number, to: number): number {
  let out = 4
  let at = from
  while (at < to) {
    const byte = bytes[at] as number
    const role = ROLES[byte] as number
    if (role === NEVER) return 0
    if (role === A_DIGIT) {
      const isKept = at > from && isLetter(bytes[at - 1] as number)
      const end = skipDigits(bytes, at, to)
      for (; at < end; at++) outline[out++] = isKept ? (bytes[at] as number) : 0x30
      continue
    }
    outline[out++] = byte
    at++
  }
  return out
}

/** Every number is as good as another, and so is every word of letters, dots and dashes that has a digit. */
function outlineOf(bytes: Uint8Array, from: number, to: number): number {
  let out = 4
  let at = from
  for (;;) {
    let role = COPIED
    while (at < to) {
      const byte = bytes[at] as number
      role = ROLES[byte] as number
      if (role !== COPIED) break
      outline[out++] = byte
      at++
    }
    if (at >= to) return out
    if (role === NEVER) return 0
    const start = wordStart(bytes, from, at)
    const end = start < 0 ? -1 : wordEnd(bytes, at, to)
    if (end > 0) {
      out -= at - start
      const first = bytes[start] as number
      if ((signs & NO_DIGIT) === 0) outline[out++] = 0x30
      else {
        outline[out++] = isDigit(first) ? 0x30 : first < 0x61 ? 0x41 : 0x61
        outline[out++] = signs & (NO_DIGIT - 1)
      }
      at = end
      continue
    }
    // Part of a path or of something else: letters stay.
    while (at < to && KINDS[bytes[at] as number] !== 0) {
      const byte = bytes[at] as number
      if (ROLES[byte] === NEVER) return 0
      if (isDigit(byte)) {
        outline[out++] = 0x30
        at = skipDigits(bytes, at, to)
      } else {
        outline[out++] = byte
        at++
      }
    }
  }
}

/** Of the word that `wordStart` and `wordEnd` read last. */
let signs = 0

/** Where the word begins that has its first digit at `digit`; -1 if other signs than dots and dashes are part of it. */
function wordStart(bytes: Uint8Array, from: number, digit: number): number {
  signs = 0
  let start = digit
  while (start > from) {
    const byte = bytes[start - 1] as number
    const sign = SIGNS[byte] as number
    if (sign === 0) {
      if (KINDS[byte] !== 0) return -1
      break
    }
    // Two dots part words.
    if (byte === DOT && bytes[start] === DOT) break
    signs |= sign
    start--
  }
  while (bytes[start] === DOT || bytes[start] === DASH) start++
  return start
}

/** Where the word ends that has a digit at `digit`, without dots and dashes behind it; -1 as above. */
function wordEnd(bytes: Uint8Array, digit: number, to: number): number {
  let at = digit
  while (at < to) {
    const byte = bytes[at] as number
    const sign = SIGNS[byte] as number
    if (sign === 0) {
      if (KINDS[byte] !== 0) return -1
      break
    }
    if (byte === DOT && at + 1 < to && bytes[at + 1] === DOT) break
    signs |= sign
    at++
  }
  while (bytes[at - 1] === DOT || bytes[at - 1] === DASH) at--
  if (isDigit(bytes[at - 1] as number)) signs |= ENDS_IN_DIGIT
  return at
}

/** Marks of what has a limit: brackets by kind, what closes them, quotes. */
const OPENS = 1
const CLOSES = 5
const QUOTES = 9
const LIMITED: Uint8Array = new Uint8Array(256)
for (const [kind, [open, close]] of ['()', '[]', '{}', '<>'].entries()) {
  LIMITED[open?.charCodeAt(0) ?? 0] = OPENS + kind
  LIMITED[close?.charCodeAt(0) ?? 0] = CLOSES + kind
}
for (const [kind, quote] of ['"', "'", '`'].entries()) LIMITED[quote.charCodeAt(0)] = QUOTES + kind
const opened = new Int32Array(4)
const depths = new Int32Array(4)
const quoted = new Int32Array(3)

/** Whether every bracket and quote that closes does so long before its limit, and so do words in brackets. */
function isWithinLimits(bytes: Uint8Array, from: number, to: number): boolean {
  depths.fill(0)
  quoted.fill(from)
  let space = from
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (byte === SPACE) space = at
    const mark = LIMITED[byte] as number
    if (mark === 0) continue
    if (mark < CLOSES) {
      const kind = mark - OPENS
      if (depths[kind] === 0) opened[kind] = at
      depths[kind] = (depths[kind] as number) + 1
    } else if (mark < QUOTES) {
      const kind = mark - CLOSES
      if (at - space >= MAX_BRACKET_BYTES - 1) return false
      if (depths[kind] === 0) continue
      if (at - (opened[kind] as number) >= MAX_BRACKET_BYTES - 1) return false
      depths[kind] = (depths[kind] as number) - 1
    } else {
      const kind = mark - QUOTES
      if (at - (quoted[kind] as number) >= MAX_QUOTED_BYTES - 1) return false
      // A backtick may be closed by an apostrophe.
      if (kind === 1 && at - (quoted[2] as number) >= MAX_QUOTED_BYTES - 1) return false
      quoted[kind] = at
    }
  }
  return true
}
