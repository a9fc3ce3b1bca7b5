// Finds the time in front of a line: a date and a clock, syslog's `Mon D`, klog's `I0502`, an uptime in brackets.
import { byteAt, isDigit, isLetter, SPACE, skipDigits, skipSpace, skipWord } from './bytes.ts'
import { CAPITALS, levelLetter, levelWord } from './levels.ts'
import {
  CLOCK,
  COUNT,
  DATE,
  isCompactClock,
  MAYBE_DATE,
  MOMENT,
  monthAt,
  NONE,
  timestampAt,
  timestampEnd,
  weekdayAt,
} from './timestamp.ts'

/** What `findMoment` found. One object, used again for every line. */
export const moment = {
  /** Where it stands; equal when there is none. */
  from: 0,
  to: 0,
  /** `Mon D hh:mm:ss`, after which syslog writes the host. */
  isSyslog: false,
  /** A date and a clock: behind them only another time right there counts. */
  isWhole: false,
  /** From klog's letter, or one that stands before the time in its bracket. */
  level: 0,
}

/** Words that may stand before the first time, and between one and the next. */
const MAX_BEFORE = 4
const MAX_BETWEEN = 2
const MAX_WORDS = 12

/** Looks at the first words of a line. Of several times near each other the last one ends the search. */
export function findMoment(bytes: Uint8Array, from: number, to: number): boolean {
  moment.from = moment.to = from
  moment.isSyslog = false
  moment.level = 0
  let at = from
  let gap = 0
  let isFound = false
  let hasDigits = false
  let found = NONE
  for (let words = 0; words < MAX_WORDS; words++) {
    while (at < to && ((bytes[at] as number) <= SPACE || bytes[at] === 0x7c)) at++
    if (at >= to) break
    const start = skipOpening(bytes, at, to)
    const end = start < to ? timeAt(bytes, start, to, at) : -1
    if (end > 0) {
      if (!isFound) moment.from = start
      moment.to = end
      isFound = true
      gap = 0
      at = end
      while (at < to && isClosing(bytes[at] as number)) at++
      found |= foundKind
      // After a date and a clock only another time right behind them counts: the runtime's and then the program's.
      if (found === MOMENT && !(byteAt(bytes, at, to) === SPACE && isTimeByte(byteAt(bytes, at + 1, to)))) break
      continue
    }
    gap++
    if (gap > (isFound ? MAX_BETWEEN : MAX_BEFORE)) break
    // Before and between times stand hosts, numbers and dashes, but not the words of a sentence.
    const wordEnd = endOfWord(bytes, at, to)
    const seen = lookAtWord(bytes, at, start, wordEnd)
    if (seen === STOPS) break
    if (seen === HAS_DIGIT) hasDigits = true
    else if (seen === LETTERS && (isFound || !hasDigits) && !isLabel(bytes, start, wordEnd)) {
      // A tag in capitals may come first, too.
      if (isFound || (at === start && !(words === 0 && isCapitals(bytes, start, wordEnd)))) break
    }
    at = wordEnd
  }
  moment.isWhole = found === MOMENT
  return isFound
}

const isTimeByte = (byte: number) => isDigit(byte) || byte === 0x5b

const isClosing = (byte: number) =>
  byte === 0x5d || byte === 0x29 || byte === 0x3e || byte === 0x2c || byte === 0x3a || byte === 0x3b

function skipOpening(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && at < from + 2) {
    const byte = bytes[at] as number
    if (byte !== 0x5b && byte !== 0x28 && byte !== 0x3c) break
    at++
  }
  return at
}

function endOfWord(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && (bytes[at] as number) > SPACE && bytes[at] !== 0x7c) at++
  return at
}

const LETTERS = 0
const HAS_DIGIT = 1
const SIGNS = 2
const STOPS = 3

/** What kind of word stands where no time does. */
function lookAtWord(bytes: Uint8Array, from: number, start: number, end: number): number {
  let letters = 0
  let hasDigit = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (isDigit(byte)) hasDigit = true
    else if (isLetter(byte)) letters++
    else if (byte === 0x22 || byte === 0x3d || byte === 0x7b) return STOPS
  }
  if (hasDigit) {
    // `WARN[0007]`
    let word = start
    while (word < end && isLetter(bytes[word] as number)) word++
    return levelWord(bytes, start, word) === 0 ? HAS_DIGIT : STOPS
  }
  if (letters === 0) return SIGNS
  let word = start
  while (word < end && isLetter(bytes[word] as number)) word++
  const level = levelWord(bytes, start, word)
  if (level !== 0 && ((level & CAPITALS) !== 0 || start > from || bytes[word] === 0x3a)) return STOPS
  // `[I 240502 11:20:31 web:12]`
  if (start > from && word === end && word - start === 1) moment.level = levelLetter(bytes[start] as number)
  return LETTERS
}

function isCapitals(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) {
    const byte = bytes[at] as number
    if (!(byte >= 0x41 && byte <= 0x5a) && byte !== 0x5f && byte !== 0x2d) return false
  }
  return true
}

/** `Time:` and `Date:` say themselves what comes. */
function isLabel(bytes: Uint8Array, from: number, end: number): boolean {
  if (end - from !== 5 || bytes[end - 1] !== 0x3a) return false
  const first = (bytes[from] as number) | 32
  const last = (bytes[from + 3] as number) | 32
  return (first === 0x74 || first === 0x64) && last === 0x65
}

/** What the last time was: a date, a clock, or both. A count of seconds is neither, as others follow it. */
let foundKind = NONE

/** Where the time that begins at `from` ends, or -1. `word` is where its word began, brackets and all. */
function timeAt(bytes: Uint8Array, from: number, to: number, word: number): number {
  const byte = bytes[from] as number
  if (isDigit(byte)) {
    const kind = timestampAt(bytes, from, to)
    foundKind = kind
    if (kind === COUNT) foundKind = NONE
    if (kind === DATE || kind === CLOCK || kind === MOMENT || kind === COUNT) return timestampEnd
    foundKind = MOMENT
    if (kind === MAYBE_DATE) {
      const next = skipSeparator(bytes, timestampEnd, to)
      if (isCompactClock(bytes, next, to)) return next + 6
      return timestampAt(bytes, next, to) === CLOCK ? timestampEnd : -1
    }
    if (byteAt(bytes, skipDigits(bytes, from, to), to) === SPACE) {
      const day = skipDigits(bytes, from, to)
      if (day - from <= 2 && monthAt(bytes, day + 1, to) > 0) return clockAfterMonth(bytes, day + 4, to)
    }
    return word < from ? uptimeAt(bytes, from, to) : -1
  }
  foundKind = MOMENT
  if (byte >= 0x41 && byte <= 0x57) {
    if (isDigit(byteAt(bytes, from + 1, to))) return klogAt(bytes, from, to)
    const after = byteAt(bytes, from + 3, to)
    return after === SPACE || after === 0x2c ? calendarAt(bytes, from, to) : -1
  }
  // The kernel pads its uptime: `[    0.000000]`.
  if (byte === SPACE && word < from) {
    const digits = skipSpace(bytes, from, to)
    return digits < to && isDigit(bytes[digits] as number) ? uptimeAt(bytes, digits, to) : -1
  }
  return -1
}

const skipSeparator = (bytes: Uint8Array, from: number, to: number) => {
  let at = from
  while (at < to && ((bytes[at] as number) === SPACE || bytes[at] === 0x2c)) at++
  return at
}

/** `1234.567890]`, `0.005s]` */
function uptimeAt(bytes: Uint8Array, from: number, to: number): number {
  const stop = skipDigits(bytes, from, to)
  if (byteAt(bytes, stop, to) !== 0x2e) return -1
  const fraction = skipDigits(bytes, stop + 1, to)
  if (fraction < stop + 3) return -1
  const end = bytes[fraction] === 0x73 ? fraction + 1 : fraction
  return byteAt(bytes, end, to) === 0x5d ? end : -1
}

/** glog, klog: `I0502 11:20:31.004251`, and with the year before: `I20240502`, `I240502`. */
function klogAt(bytes: Uint8Array, from: number, to: number): number {
  const level = levelLetter(bytes[from] as number)
  const digits = skipDigits(bytes, from + 1, to)
  const count = digits - from - 1
  if (level === 0 || (count !== 4 && count !== 6 && count !== 8) || byteAt(bytes, digits, to) !== SPACE) return -1
  if (timestampAt(bytes, digits + 1, to) !== CLOCK) return -1
  moment.level = level
  return timestampEnd
}

/** `Jun 15 02:04:59`, `Jun 15 2024 …`, `Jun 15, 2024 2:04:59 AM`, `Sun Dec 04 04:47:44 2005`, `Sun, 04 Dec 2005 …`. */
function calendarAt(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  const hasWeekday = weekdayAt(bytes, from, to) > 0
  if (hasWeekday) {
    at = skipSeparator(bytes, from + 3, to)
    const day = skipDigits(bytes, at, to)
    if (day > at && monthAt(bytes, day + 1, to) > 0) return clockAfterMonth(bytes, day + 4, to)
  }
  if (monthAt(bytes, at, to) === 0 || byteAt(bytes, at + 3, to) !== SPACE) return -1
  const day = skipSpace(bytes, at + 3, to)
  const dayEnd = skipDigits(bytes, day, to)
  if (dayEnd === day || dayEnd - day > 2) return -1
  const end = clockAfterMonth(bytes, dayEnd, to)
  if (end < 0) return -1
  const after = skipSpace(bytes, end, to)
  if (skipDigits(bytes, after, to) === after + 4 && bytes[after] === 0x32 && byteAt(bytes, after + 4, to) <= 0x5d) {
    if (hasWeekday || byteAt(bytes, after + 4, to) <= SPACE) return after + 4
  }
  if (hasWeekday) return afterZoneAndYear(bytes, end, to)
  const clock = skipSpace(bytes, dayEnd, to)
  moment.isSyslog = clock > dayEnd && skipDigits(bytes, clock, to) <= clock + 2
  return end
}

/** From behind a month or a day: an optional year, then the clock. */
function clockAfterMonth(bytes: Uint8Array, from: number, to: number): number {
  let at = skipSeparator(bytes, from, to)
  const year = skipDigits(bytes, at, to)
  if (year === at + 4 && byteAt(bytes, year, to) !== 0x3a) at = skipSeparator(bytes, year, to)
  return timestampAt(bytes, at, to) === CLOCK ? timestampEnd : -1
}

/** `11:20:31 UTC 2024` */
function afterZoneAndYear(bytes: Uint8Array, from: number, to: number): number {
  const zone = skipSpace(bytes, from, to)
  const zoneEnd = skipWord(bytes, zone, to)
  const year = skipSpace(bytes, zoneEnd, to)
  const yearEnd = skipDigits(bytes, year, to)
  return zoneEnd - zone <= 5 && yearEnd === year + 4 ? yearEnd : from
}
