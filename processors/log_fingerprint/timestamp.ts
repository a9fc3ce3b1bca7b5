// Recognises dates and clocks in the ways that programs write them. Shapes only: what they mean, time.ts says.
import { byteAt, isDigit, isLetter, skipDigits } from './bytes.ts'

const COLON = 0x3a
const DASH = 0x2d
const SLASH = 0x2f
const STOP = 0x2e

export const NONE = 0
export const DATE = 1
export const CLOCK = 2
/** A date that could be something else unless a clock follows: `03-17`, `10.30`, `240502`. */
export const MAYBE_DATE = 4
export const MOMENT = DATE | CLOCK
/** Seconds, or parts of them, since 1970. */
export const COUNT = 8

/** Where the last timestamp that `timestampAt` found ends. */
export let timestampEnd = 0

/** What kind of timestamp begins at `from`, as far as it belongs to one word. */
export function timestampAt(bytes: Uint8Array, from: number, to: number): number {
  const first = skipDigits(bytes, from, to)
  const digits = first - from
  if (digits === 0 || first >= to) return digits === 0 ? NONE : plainNumber(bytes, from, first, digits)
  const separator = bytes[first] as number
  switch (separator) {
    case COLON:
      return digits <= 2 ? clockAt(bytes, from, to) : NONE
    case DASH:
      if (digits === 8 && isCentury(bytes, from)) return dateThenClock(bytes, first, to)
      return dateAt(bytes, from, first, to, digits, separator)
    case SLASH:
    case STOP:
      return dateAt(bytes, from, first, to, digits, separator)
    default:
      if (digits === 8 && isCentury(bytes, from) && (separator | 32) === 0x74) return dateThenClock(bytes, first, to)
      return isEnd(separator) ? plainNumber(bytes, from, first, digits) : NONE
  }
}

/** `HH:MM:SS`, with a fraction and a zone if there are any. Not `a:b:c:d`, which is an address. */
function clockAt(bytes: Uint8Array, from: number, to: number): number {
  return clockOf(bytes, from, to, 2)
}

/** `leastDigits` of minutes and seconds: behind a date one will do. */
function clockOf(bytes: Uint8Array, from: number, to: number, leastDigits: number): number {
  const hourEnd = skipDigits(bytes, from, to)
  if (hourEnd === from || hourEnd - from > 2 || byteAt(bytes, hourEnd, to) !== COLON) return NONE
  const minuteEnd = skipDigits(bytes, hourEnd + 1, to)
  const minuteDigits = minuteEnd - hourEnd - 1
  if (minuteDigits < leastDigits || minuteDigits > 2 || byteAt(bytes, minuteEnd, to) !== COLON) return NONE
  const secondEnd = skipDigits(bytes, minuteEnd + 1, to)
  const secondDigits = secondEnd - minuteEnd - 1
  if (secondDigits < leastDigits || secondDigits > 2) return NONE
  return clockTail(bytes, secondEnd, to)
}

/** `HH.MM.SS`, as it follows `YYYY-MM-DD-`. */
function dottedClockAt(bytes: Uint8Array, from: number, to: number): number {
  if (skipDigits(bytes, from, to) !== from + 2 || byteAt(bytes, from + 2, to) !== STOP) return NONE
  if (skipDigits(bytes, from + 3, to) !== from + 5 || byteAt(bytes, from + 5, to) !== STOP) return NONE
  const secondEnd = skipDigits(bytes, from + 6, to)
  return secondEnd === from + 8 ? clockTail(bytes, secondEnd, to) : NONE
}

function clockTail(bytes: Uint8Array, secondEnd: number, to: number): number {
  let at = secondEnd
  let byte = byteAt(bytes, at, to)
  if (byte === STOP || byte === 0x2c || byte === COLON) {
    const fractionEnd = skipDigits(bytes, at + 1, to)
    if (fractionEnd > at + 1) {
      at = fractionEnd
      if (byte === COLON && byteAt(bytes, at, to) === COLON) return NONE
    }
  }
  byte = byteAt(bytes, at, to)
  if (byte === 0x5a) at++
  else if ((byte === 0x2b || byte === DASH) && isDigit(byteAt(bytes, at + 1, to))) {
    at = skipDigits(bytes, at + 1, to)
    if (byteAt(bytes, at, to) === COLON && isDigit(byteAt(bytes, at + 1, to))) at = skipDigits(bytes, at + 1, to)
  }
  byte = byteAt(bytes, at, to)
  if (isLetter(byte) || byte === SLASH || byte === 0x5f) return NONE
  timestampEnd = at
  return CLOCK
}

function dateAt(bytes: Uint8Array, from: number, first: number, to: number, digits: number, separator: number): number {
  const second = skipDigits(bytes, first + 1, to)
  const middle = second - first - 1
  const month = middle === 0 && separator !== STOP ? monthAt(bytes, first + 1, to) : 0
  const secondEnd = month > 0 ? first + 4 : second
  const next = byteAt(bytes, secondEnd, to)
  if (month === 0 && middle !== 1 && middle !== 2) {
    timestampEnd = second
    return separator === STOP && isSecondsSince(bytes, from, digits) ? COUNT : NONE
  }
  if (next !== separator) {
    if (month > 0 || digits > 2 || separator === SLASH || middle !== 2 || isLetter(next) || next === COLON) return NONE
    timestampEnd = secondEnd
    return MAYBE_DATE
  }
  const third = skipDigits(bytes, secondEnd + 1, to)
  const last = third - secondEnd - 1
  const isDate =
    digits === 4
      ? isCentury(bytes, from) && middle <= 2 && (last === 1 || last === 2)
      : digits <= 2 && (last === 4 || (last === 2 && separator === SLASH && digits === 2 && middle === 2))
  if (!isDate) return NONE
  return dateThenClock(bytes, third, to)
}

function dateThenClock(bytes: Uint8Array, dateEnd: number, to: number): number {
  const byte = byteAt(bytes, dateEnd, to)
  if (
    ((byte | 32) === 0x74 || byte === 0x5f || byte === DASH || byte === COLON) &&
    isDigit(byteAt(bytes, dateEnd + 1, to))
  ) {
    if (clockOf(bytes, dateEnd + 1, to, 1) !== NONE) return MOMENT
    if (dottedClockAt(bytes, dateEnd + 1, to) !== NONE) return MOMENT
    // 20240502T112030Z
    const compact = skipDigits(bytes, dateEnd + 1, to)
    if ((byte | 32) === 0x74 && (compact - dateEnd === 7 || compact - dateEnd === 5))
      return clockTail(bytes, compact, to) === NONE ? NONE : MOMENT
    return NONE
  }
  // A comma is not part of it; a third separator makes it a version or an address.
  if (byte === STOP && isDigit(byteAt(bytes, dateEnd + 1, to))) return NONE
  if (isLetter(byte) || byte === SLASH || byte === 0x5f) return NONE
  timestampEnd = dateEnd
  return DATE
}

/** Epoch seconds, milli-, micro- or nanoseconds; or a compact date that a clock has to follow. */
function plainNumber(bytes: Uint8Array, from: number, end: number, digits: number): number {
  timestampEnd = end
  if (isSecondsSince(bytes, from, digits)) return COUNT
  if (digits === 8 && isCentury(bytes, from)) return dateThenClock(bytes, end, end) === DATE ? MAYBE_DATE : NONE
  return digits === 6 ? MAYBE_DATE : NONE
}

const isSecondsSince = (bytes: Uint8Array, from: number, digits: number) =>
  (digits === 10 || digits === 13 || digits === 16 || digits === 19) && bytes[from] === 0x31

const isCentury = (bytes: Uint8Array, from: number) =>
  (bytes[from] === 0x32 && bytes[from + 1] === 0x30) || (bytes[from] === 0x31 && bytes[from + 1] === 0x39)

const isEnd = (byte: number) =>
  byte <= 0x20 || byte === 0x5d || byte === 0x29 || byte === 0x2c || byte === 0x3e || byte === 0x7c

/** `HHMMSS`, as it follows `YYMMDD `. */
export function isCompactClock(bytes: Uint8Array, from: number, to: number): boolean {
  return (
    skipDigits(bytes, from, to) === from + 6 &&
    (bytes[from] as number) <= 0x32 &&
    (bytes[from + 2] as number) <= 0x35 &&
    (bytes[from + 4] as number) <= 0x36 &&
    byteAt(bytes, from + 6, to) <= 0x20
  )
}

const packed = (word: string) => (word.charCodeAt(0) << 16) | (word.charCodeAt(1) << 8) | word.charCodeAt(2)
const months = Int32Array.from('Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' '), packed)
const days = Int32Array.from('Mon Tue Wed Thu Fri Sat Sun'.split(' '), packed)

/** 1 to 12 where an English month's three letters stand, else 0. */
export const monthAt = (bytes: Uint8Array, from: number, to: number) => wordAt(bytes, from, to, months)
export const weekdayAt = (bytes: Uint8Array, from: number, to: number) => wordAt(bytes, from, to, days)

function wordAt(bytes: Uint8Array, from: number, to: number, words: Int32Array): number {
  if (from + 3 > to) return 0
  const word = ((bytes[from] as number) << 16) | ((bytes[from + 1] as number) << 8) | (bytes[from + 2] as number)
  for (let i = 0; i < words.length; i++) if (words[i] === word) return i + 1
  return 0
}
