// The level in a line's head: the word for it among the next few, in its frame or behind a dot, or a mark.
import { byteAt, isDigit, isLetter, SPACE, skipDigits, skipSpace } from './bytes.ts'
import { CAPITALS, DEBUG, INFO, isWeak, levelLetter, levelOf, levelWord, TITLE, UNKNOWN, WARNING } from './levels.ts'
import {
  bracketEnd,
  DOT_SIGN,
  FIELD_SIGN,
  isAfterTime,
  isDashAt,
  isOpening,
  isWordByte,
  NO_SIGN,
  seen,
  seeWord,
} from './word.ts'

const COLON = 0x3a
const BAR = 0x7c
const DASH = 0x2d
const MAX_LEVEL_WORDS = 5

/** What `markEnd` or `levelEnd` found last. */
export let foundLevel = UNKNOWN
/** It was found as `Error: `. */
export let isSoftLevel = false

/** Redis writes `1:M 02 May 2024 11:20:30.105 * `: process, role, time, and a mark for the level. */
export function markEnd(bytes: Uint8Array, from: number, at: number, to: number): number {
  const digits = skipDigits(bytes, from, to)
  if (digits === from || byteAt(bytes, digits, to) !== COLON || byteAt(bytes, digits + 2, to) !== SPACE) return -1
  const mark = skipSpace(bytes, at, to)
  if (byteAt(bytes, mark + 1, to) !== SPACE) return -1
  const level = MARKS[String.fromCharCode(bytes[mark] as number)]
  if (level === undefined) return -1
  foundLevel = level
  return mark + 1
}

/** serverLogRaw in redis/src/server.c: debug, verbose, notice, warning. */
const MARKS: Readonly<Record<string, number>> = { '.': DEBUG, '-': INFO, '*': INFO, '#': WARNING }

/** Behind the level word among the next few, or -1. */
export function levelEnd(bytes: Uint8Array, from: number, to: number, isTimed: boolean): number {
  isSoftLevel = false
  let at = from
  let afterDash = false
  for (let words = 0; words <= MAX_LEVEL_WORDS; words++) {
    while (at < to && ((bytes[at] as number) <= SPACE || bytes[at] === BAR)) at++
    if (at >= to) return -1
    const byte = bytes[at] as number
    if (isOpening(byte)) {
      const framed = framedLevelEnd(bytes, at + 1, to)
      if (framed > 0) return framed
      at = bracketEnd(bytes, at, to)
      if (at < 0) return -1
      afterDash = false
      continue
    }
    let end = at
    while (end < to && (isLetter(bytes[end] as number) || isDigit(bytes[end] as number))) end++
    const next = byteAt(bytes, end, to)
    const word = levelWord(bytes, at, end)
    if (word !== 0 && isLevelHere(bytes, word, end, to, next, isTimed, words)) {
      foundLevel = levelOf(word)
      isSoftLevel = !isTimed && (word & TITLE) !== 0
      return afterLevel(bytes, end, to)
    }
    // A small word behind no dash is the text's.
    if (word === 0 && byte >= 0x61 && next <= SPACE && !afterDash) return -1
    if (end === at + 1 && isLevelLetter(byte)) {
      if (next === 0x2f && isLetter(byteAt(bytes, end + 1, to)) && words === 0) {
        foundLevel = levelLetter(byte)
        return end + 1
      }
      if (isTimed && next <= SPACE && end < to) {
        foundLevel = levelLetter(byte)
        return end
      }
    }
    const wordEnd = seeWord(bytes, at, to)
    if ((seen & DOT_SIGN) !== 0) {
      const suffix = suffixLevelEnd(bytes, at, wordEnd)
      if (suffix > 0) return suffix
    }
    const isDash = (seen & NO_SIGN) === 0
    const isPassed =
      isDash ||
      isNumber(bytes, at, wordEnd) ||
      (isTimed &&
        (isAllCapitals(bytes, at, wordEnd) || (afterDash && isDashAt(bytes, wordEnd, to)) || (seen & FIELD_SIGN) !== 0))
    if (!isPassed) return -1
    afterDash = isDash
    at = wordEnd
  }
  return -1
}

const isLevelLetter = (byte: number) =>
  byte === 0x49 || byte === 0x44 || byte === 0x57 || byte === 0x45 || byte === 0x46 || byte === 0x56

function isLevelHere(
  bytes: Uint8Array,
  word: number,
  end: number,
  to: number,
  next: number,
  isTimed: boolean,
  words: number,
) {
  const isFramed = next === COLON || next === BAR || next === 0x5d || next === 0x5b
  if ((word & CAPITALS) !== 0) return endsLevel(next) && (isTimed || isFramed || !isWeak(word))
  if (isTimed) return isFramed || (!isWeak(word) && (next <= SPACE || next === 0x2c))
  if (words === 0 && next === COLON) return byteAt(bytes, end + 1, to) <= SPACE
  // A column of a table: `Warning   BackOff   pod/x`.
  return (
    words < 2 &&
    (word & TITLE) !== 0 &&
    !isWeak(word) &&
    end + 1 < to &&
    next <= SPACE &&
    (next !== SPACE || bytes[end + 1] === SPACE)
  )
}

const endsLevel = (byte: number) =>
  byte <= SPACE ||
  byte === COLON ||
  byte === 0x5d ||
  byte === 0x29 ||
  byte === 0x2c ||
  byte === BAR ||
  byte === 0x2f ||
  byte === 0x5b ||
  byte === 0x3e

/** Behind the colon, the bracket or the rest of `INFO/MainProcess]`. */
function afterLevel(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  if (byteAt(bytes, at, to) === 0x2f) while (at < to && (bytes[at] as number) > SPACE && bytes[at] !== 0x5d) at++
  while (at < to && isAfterTime(bytes[at] as number)) at++
  return at
}

/** `[error]`, `[ INFO ]`, `[core:error]`, `<Information>`; `from` is behind the bracket. */
function framedLevelEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  for (let pair = 0; pair < 2; pair++) {
    while (at < to && bytes[at] === SPACE) at++
    let end = at
    while (end < to && (isLetter(bytes[end] as number) || isDigit(bytes[end] as number))) end++
    const close = skipSpace(bytes, end, to)
    const next = byteAt(bytes, close, to)
    const isClosed = next === 0x5d || next === 0x29 || next === 0x3e || next === 0x7d
    const word = levelWord(bytes, at, end)
    if (
      word !== 0 &&
      (isClosed || (pair === 0 && close === end && (next === COLON || next === 0x2f || next === BAR)))
    ) {
      foundLevel = levelOf(word)
      const closing = isClosed ? close + 1 : bracketEnd(bytes, from - 1, to)
      return closing > 0 ? closing : close
    }
    if (end === at + 1 && isClosed && isLevelLetter(bytes[at] as number)) {
      foundLevel = levelLetter(bytes[at] as number)
      return close + 1
    }
    // The first of a pair may be any name.
    let name = end
    while (name < to && (isWordByte(bytes[name] as number) || bytes[name] === 0x2e)) name++
    if (byteAt(bytes, name, to) !== COLON || name === at) return -1
    at = name + 1
  }
  return -1
}

/** `local.ERROR:` */
function suffixLevelEnd(bytes: Uint8Array, from: number, to: number): number {
  let end = to
  if (bytes[end - 1] === COLON) end--
  let at = end
  while (at > from && isLetter(bytes[at - 1] as number)) at--
  if (at <= from + 1 || bytes[at - 1] !== 0x2e) return -1
  const word = levelWord(bytes, at, end)
  if ((word & CAPITALS) === 0) return -1
  foundLevel = levelOf(word)
  return to
}

/** Also an age, `2m11s`. */
function isNumber(bytes: Uint8Array, from: number, to: number): boolean {
  if (!isDigit(bytes[from] as number)) return false
  if (to - from <= 8 && isLetter(bytes[to - 1] as number)) return true
  for (let at = from; at < to; at++) if (isLetter(bytes[at] as number)) return false
  return true
}

/** `KERNEL`, `R02-M1-N0`: no small letter, and no colon at the end. */
function isAllCapitals(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from < 2 || bytes[to - 1] === COLON) return false
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    const isCapital = byte >= 0x41 && byte <= 0x5a
    if (!isCapital && byte !== 0x5f && !(at > from && (isDigit(byte) || byte === DASH || byte === COLON))) return false
  }
  return true
}
