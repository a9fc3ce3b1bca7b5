// One line → its pattern and its level, by whatever format its text is written in.
import {
  byteAt,
  FNV_BASIS,
  FNV_PRIME,
  find,
  hashOf,
  isDigit,
  isLetter,
  NEWLINE,
  SPACE,
  skipSpace,
  startsWith,
  text,
} from './bytes.ts'
import { fields, readJson, readLogfmt, unescaped } from './fields.ts'
import { head, readHead } from './head.ts'
import { CAPITALS, CRITICAL, ERROR, isWeak, levelOf, levelWord, UNKNOWN, WARNING } from './levels.ts'
import { mask } from './mask.ts'
import type { Beginning } from './recall.ts'
import { repeat } from './repeats.ts'
import { masked, template } from './tokens.ts'

/** What `readContent` found; the pattern is in `masked`. One object, used again for every line. */
export const content = {
  level: UNKNOWN,
  /** The line is a record that is complete in itself: no line without a head continues it. */
  isRecord: false,
  /** The line, and where in it stands when it was written. */
  line: Buffer.alloc(0) as Buffer,
  timeFrom: 0,
  timeTo: 0,
  /** What was masked, for the template. */
  bytes: Buffer.alloc(0) as Buffer,
  /** The line was not read, as it is like one before: the text has to be masked first if somebody asks for it. */
  isRepeat: false,
  from: 0,
  to: 0,
}

/** Of a line that `findRepeat` knows. */
export function repeatContent(bytes: Buffer, from: number, to: number, known: Beginning): void {
  content.level = repeat.level
  content.isRecord = false
  content.line = bytes
  content.timeFrom = from + known.timeFrom
  content.timeTo = from + known.timeTo
  masked.high = repeat.high
  masked.low = repeat.low
  content.isRepeat = true
  content.from = from
  content.to = to
}

/** The text as a pattern, with `<*>` for what varies. */
export function contentTemplate(): string {
  if (content.isRepeat) {
    readHead(content.line, content.from, content.to)
    readContent(content.line, content.to)
  }
  return template(content.bytes)
}

const LEVEL_WORDS = 6

/** After `readHead` on the same line. */
export function readContent(bytes: Buffer, to: number): void {
  const from = head.text
  content.level = head.level
  content.isRecord = false
  content.timeFrom = head.timeFrom
  content.timeTo = head.timeTo
  content.bytes = content.line = bytes
  content.isRepeat = false
  const first = byteAt(bytes, from, to)
  if (first === 0x7b && bytes[to - 1] === 0x7d && readJson(bytes, from, to)) {
    readRecord(bytes)
    return
  }
  if (first === 0x22 && readRequest(bytes, from, to)) return
  if (isLetter(first) && isKeyAndValue(bytes, from, to) && readLogfmt(bytes, from, to)) {
    readRecord(bytes)
    return
  }
  mask(bytes, from, to)
  if (masked.words === 0 && head.nameTo > head.nameFrom) mask(bytes, head.nameFrom, to)
  if (content.level === UNKNOWN) content.level = levelInText(bytes, from, to)
}

/** A line that is a JSON object from its first byte on. */
export function readJsonLine(bytes: Buffer, from: number, to: number): boolean {
  if (bytes[to - 1] !== 0x7d || !readJson(bytes, from, to)) return false
  content.level = UNKNOWN
  content.line = bytes
  content.isRepeat = false
  content.timeFrom = content.timeTo = from
  readRecord(bytes)
  return true
}

function readRecord(bytes: Buffer): void {
  content.isRecord = true
  if (fields.level !== UNKNOWN) content.level = fields.level
  if (fields.timeTo > fields.timeFrom) {
    content.timeFrom = fields.timeFrom
    content.timeTo = fields.timeTo
  }
  const { messageFrom, messageTo, hasEscapes, keys } = fields
  content.bytes = hasEscapes ? unescaped(bytes, messageFrom, messageTo) : bytes
  const from = hasEscapes ? 0 : messageFrom
  const end = hasEscapes ? content.bytes.length : messageTo
  const start = skipSpace(content.bytes, from, end)
  let to = start
  while (to < end && content.bytes[to] !== NEWLINE) to++
  mask(content.bytes, start, to)
  // Without a message, or one of nothing but values, it is known by its fields.
  if (masked.words === 0) mask(content.bytes, start, to, keys)
}

const HTTP = text(' HTTP/')

/** An access log: the method, and whether it went well. Path, referrer and browser are anybody's. */
function readRequest(bytes: Buffer, from: number, to: number): boolean {
  let close = from + 1
  while (close < to && bytes[close] !== 0x22) {
    if (bytes[close] === 0x5c) close++
    close++
  }
  const status = close + 2
  if (status + 2 >= to || bytes[close + 1] !== SPACE || !isDigit(bytes[status] as number)) return false
  if (!isDigit(bytes[status + 2] as number) || byteAt(bytes, status + 3, to) > SPACE) return false
  if (find(bytes, from, close, HTTP) < 0) return false
  mask(bytes, from, close, bytes[status] as number)
  return true
}

function isKeyAndValue(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from
  while (at < to && at < from + 32) {
    const byte = bytes[at] as number
    if (byte === 0x3d) return true
    if (!isLetter(byte) && !isDigit(byte) && byte !== 0x5f && byte !== 0x2e && byte !== 0x2d) return false
    at++
  }
  return false
}

/**
 * Where no head said it: a level word in capitals among the first words, `error: ` in front, or what kind of failure
 * is named. Not inside names, paths and URLs.
 */
export function levelInText(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  let kind = UNKNOWN
  for (let words = 0; words < LEVEL_WORDS && at < to; words++) {
    while (at < to && !isLetter(bytes[at] as number)) at++
    const start = at
    while (at < to && isLetter(bytes[at] as number)) at++
    if (at === start) break
    if (words < 4 || (bytes[start] as number) < 0x5b) {
      const after = byteAt(bytes, at, to)
      const word = levelWord(bytes, start, at)
      if (word !== 0 && isApart(after) && (start === from || isApart(bytes[start - 1] as number))) {
        if ((word & CAPITALS) !== 0 && !isWeak(word)) return levelOf(word)
        if (words < 2 && after === 0x3a && !isWeak(word) && !isCallTrace(bytes, from, at)) return levelOf(word)
      }
      if (kind === UNKNOWN && bytes[start] === 0x4b && isKilled(bytes, from, start, to)) kind = ERROR
      if (kind === UNKNOWN && words < 4) kind = failureAt(bytes, start, at, after, words)
    }
    while (at < to && (bytes[at] as number) > SPACE && !isApart(bytes[at] as number)) at++
  }
  return kind
}

const TRACE_HEADS = ['Call Trace', 'Call trace', 'Stack Trace', 'Stack trace'].map(text)
/** Not the level, but what the next lines are. */
const isCallTrace = (bytes: Uint8Array, from: number, to: number) =>
  to - from >= 10 && TRACE_HEADS.some((words) => to === from + words.length && startsWith(bytes, from, to, words))

const FOR_MEMORY = text('emory: Killed process ')
/** `Out of memory: Killed process 4711`: an error, as the kernel has it, too (mm/oom_kill.c). */
const isKilled = (bytes: Uint8Array, from: number, word: number, to: number) =>
  word >= from + 7 && startsWith(bytes, word - 7, to, FOR_MEMORY)

const isApart = (byte: number) =>
  byte <= SPACE ||
  byte === 0x3a ||
  byte === 0x2c ||
  byte === 0x5b ||
  byte === 0x5d ||
  byte === 0x28 ||
  byte === 0x29 ||
  byte === 0x3d ||
  byte === 0x21 ||
  byte === 0x22 ||
  byte === 0x3b

const FATAL = 'panic panicked Segmentation terminate terminating segfault Uncaught Unhandled'
const fatal = new Set(FATAL.split(' ').map(hashOf))
const BAD = 'Exception Traceback exception'
const bad = new Set(BAD.split(' ').map(hashOf))
/** 1 for the first letters of those, so that nearly every other word is turned away without hashing. */
const FIRSTS = new Uint8Array(256)
for (const word of `${FATAL} ${BAD}`.split(' ')) FIRSTS[word.charCodeAt(0)] = 1

function failureAt(bytes: Uint8Array, from: number, to: number, after: number, words: number): number {
  const length = to - from
  if (length < 5) return UNKNOWN
  if ((after === 0x3a || words < 2) && FIRSTS[bytes[from] as number] === 1) {
    let hash = FNV_BASIS
    for (let at = from; at < to; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
    if (fatal.has(hash)) return words === 0 || after === 0x3a ? CRITICAL : ERROR
    if (bad.has(hash)) return ERROR
  }
  if (after === 0x3a && length > 5 && bytes[to - 5] === 0x45 && bytes[to - 1] === 0x72 && bytes[to - 2] === 0x6f)
    return ERROR
  if (length > 9 && bytes[to - 9] === 0x45 && bytes[to - 8] === 0x78 && bytes[to - 1] === 0x6e) return ERROR
  if (after === 0x3a && length > 7 && bytes[to - 7] === 0x57 && bytes[to - 6] === 0x61 && bytes[to - 1] === 0x67)
    return WARNING
  return UNKNOWN
}
