// Where the text of a line begins: behind time, host, level, thread and component, which every program writes in its
// own order. What stands there varies from line to line and from node to node, and would split one pattern into many.
import { byteAt, isDigit, isLetter, SPACE, skipDigits, skipSpace } from './bytes.ts'
import { afterHost, afterHostAndTag, afterMessageId } from './head_host.ts'
import { foundLevel, isSoftLevel, levelEnd, markEnd } from './head_level.ts'
import { levelOf, levelOfSeverity, levelWord, UNKNOWN } from './levels.ts'
import { findMoment, moment } from './moment.ts'
import { type Beginning, recall, remember } from './recall.ts'
import {
  BAR_SIGN,
  bracketEnd,
  CLOSING,
  COLON_SIGN,
  isAfterTime,
  isDashAt,
  isOpening,
  isWordByte,
  MAX_BRACKET_BYTES,
  NO_SIGN,
  ODD,
  OPENING,
  PATH_SIGN,
  seen,
  seeWord,
} from './word.ts'

/** What `readHead` found. One object, used again for every line. */
export const head = {
  /** It begins with a time, or syslog's priority. */
  isTimed: false,
  timeFrom: 0,
  timeTo: 0,
  level: UNKNOWN,
  /** The level was found as `Error: `: it may as well be the first word of an error's text. */
  isSoft: false,
  /** Where the text begins. */
  text: 0,
  /** The component that logged it; equal when none is named. */
  nameFrom: 0,
  nameTo: 0,
}

/** `<13>`, syslog's. */
const PRIORITY = 0x3c
const COLON = 0x3a
const BAR = 0x7c
const DASH = 0x2d
const MAX_SKIPS = 6

/** The known beginning of this line, if there is one. */
export const beginning = (bytes: Uint8Array, from: number, to: number): Beginning | undefined =>
  bytes[from] === PRIORITY ? undefined : recall(bytes, from, to)

/** Reads the line that stands from `from` to `to`, without its line end. `known` is its `beginning`. */
export function readHead(
  bytes: Uint8Array,
  from: number,
  to: number,
  known: Beginning | undefined = beginning(bytes, from, to),
): void {
  head.level = priorityLevel = UNKNOWN
  head.isSoft = false
  head.nameFrom = head.nameTo = from
  let at = from
  let hasPriority = false
  if (bytes[from] === PRIORITY) {
    const digits = skipDigits(bytes, from + 1, to)
    if (digits > from + 1 && digits <= from + 4 && byteAt(bytes, digits, to) === 0x3e) {
      let priority = 0
      for (let i = from + 1; i < digits; i++) priority = priority * 10 + (bytes[i] as number) - 0x30
      head.level = priorityLevel = levelOfSeverity(priority & 7)
      hasPriority = true
      at = digits + 1
    }
  }
  // RFC 5424 has its version here.
  const hasVersion = hasPriority && byteAt(bytes, at, to) === 0x31 && byteAt(bytes, at + 1, to) === SPACE
  if (hasVersion) at += 2
  const behindPriority = at
  let isTimed = true
  if (known !== undefined) {
    head.isTimed = true
    head.timeFrom = moment.from = from + known.timeFrom
    head.timeTo = from + known.timeTo
    moment.isSyslog = known.isSyslog
    moment.level = UNKNOWN
    at = from + known.length
    if (known.level !== UNKNOWN) {
      head.level = known.level
      head.text = skipRest(bytes, at, to)
      if (head.text < to) return
    }
  }
  // Also where there is nothing but a known head: then its level is the text.
  if (known === undefined || known.level !== UNKNOWN) {
    head.level = priorityLevel
    at = behindPriority
    isTimed = findMoment(bytes, at, to)
    head.isTimed = isTimed || hasPriority
    head.timeFrom = moment.from
    head.timeTo = moment.to
    if (isTimed) {
      at = afterTime(bytes, moment.to, to)
      if (!hasPriority && moment.level === UNKNOWN && moment.isWhole) note(bytes, from, at, to, UNKNOWN)
    }
  }
  if (hasVersion) at = afterMessageId(bytes, at, to)
  else if (isTimed) at = moment.isSyslog ? afterHost(bytes, at, to) : afterHostAndTag(bytes, at, to)
  const beforeLevel = at
  let level = isTimed ? moment.level : UNKNOWN
  if (level === UNKNOWN && isTimed && moment.from > from) {
    const end = markEnd(bytes, from, at, to)
    if (end > 0) {
      level = foundLevel
      at = end
    }
  }
  if (level === UNKNOWN) {
    const end = levelEnd(bytes, at, to, head.isTimed)
    if (end > 0) {
      level = foundLevel
      head.isSoft = isSoftLevel
      at = end
      if (!isTimed) at = lateTime(bytes, at, to)
      else if (!hasPriority) note(bytes, from, at, to, level)
    }
  }
  if (level !== UNKNOWN) head.level = level
  if (!head.isTimed && head.level === UNKNOWN) {
    head.text = from
    return
  }
  head.text = skipRest(bytes, at, to)
  // A head and nothing behind it: then the level word is all there is to say.
  if (head.text >= to) head.text = skipSpace(bytes, beforeLevel, to)
}

function note(bytes: Uint8Array, from: number, end: number, to: number, level: number) {
  const { timeFrom, timeTo } = head
  remember(bytes, from, end, to, { timeFrom: timeFrom - from, timeTo: timeTo - from, isSyslog: moment.isSyslog, level })
}

/** A level first and then the time: `INFO  [main] 2024-05-02 …`, `[ERROR] 11:20:32 …`. */
function lateTime(bytes: Uint8Array, from: number, to: number): number {
  let at = skipSpace(bytes, from, to)
  while (byteAt(bytes, at, to) === 0x5b) {
    const end = bracketEnd(bytes, at, to)
    if (end < 0 || isDigit(byteAt(bytes, at + 1, to))) break
    at = skipSpace(bytes, end, to)
  }
  if (at >= to || !(isDigit(bytes[at] as number) || bytes[at] === 0x5b) || !findMoment(bytes, at, to)) return from
  if (moment.from > at + 1) return from
  head.timeFrom = moment.from
  head.timeTo = moment.to
  head.isTimed = true
  return afterTime(bytes, moment.to, to)
}

/** Behind what belongs to the time: brackets, AM and PM, the zone. */
function afterTime(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  for (let words = 0; words < 3; words++) {
    while (at < to && isAfterTime(bytes[at] as number)) at++
    const start = skipSpace(bytes, at, to)
    const byte = byteAt(bytes, start, to)
    if ((byte === 0x2b || byte === DASH) && isDigit(byteAt(bytes, start + 1, to))) {
      const end = skipDigits(bytes, start + 1, to)
      if (end - start < 3) break
      at = byteAt(bytes, end, to) === COLON ? skipDigits(bytes, end + 1, to) : end
    } else if (isZone(bytes, start, to)) at = skipLetters(bytes, start, to)
    else break
  }
  while (at < to && isAfterTime(bytes[at] as number)) at++
  return at
}

/** AM, PM, UTC, GMT, CEST, PST …: two to four capitals that end in M, C or T. */
function isZone(bytes: Uint8Array, from: number, to: number): boolean {
  const end = skipLetters(bytes, from, to)
  const length = end - from
  if (length < 1 || length > 4 || (end < to && isWordByte(bytes[end] as number))) return false
  for (let at = from; at < end; at++) if ((bytes[at] as number) > 0x5a) return false
  const last = bytes[end - 1]
  if (length === 1) return last === 0x5a
  return length === 2 ? last === 0x4d : (last === 0x54 || last === 0x43) && byteAt(bytes, end, to) !== COLON
}

function skipLetters(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && isLetter(bytes[at] as number)) at++
  return at
}

/** What syslog's priority said, which the text knows better. */
let priorityLevel = UNKNOWN

/** Behind thread, request and component. */
function skipRest(bytes: Uint8Array, from: number, to: number): number {
  let at = skipSpace(bytes, from, to)
  let before = at
  let hasName = false
  let hasBracket = false
  for (let skips = 0; skips < MAX_SKIPS && at < to; skips++) {
    const byte = bytes[at] as number
    let end = -1
    if (isOpening(byte) && byte !== 0x7b) {
      end = bracketEnd(bytes, at, to)
      if (end > 0) {
        hasBracket = true
        if (byteAt(bytes, end, to) === COLON) end++
      }
    } else if (byte === DASH || byte === COLON || byte === BAR) {
      end = seeWord(bytes, at, to)
      if ((seen & NO_SIGN) !== 0 && byte !== BAR) break
      if (byte === BAR) end = at + 1
    } else if (byte === 0x7b && byteAt(bytes, at + 1, to) === 0x7d) end = at + 2
    else if (isDigit(byte)) end = afterNumber(bytes, at, to)
    else {
      const wordEnd = seeWord(bytes, at, to)
      const signs = seen
      // A word without any sign of a head, one space, a letter: the text begins here.
      if ((signs & (COLON_SIGN | BAR_SIGN | OPENING | CLOSING)) === 0) {
        if (bytes[wordEnd] === SPACE && wordEnd + 1 < to && isLetter(bytes[wordEnd + 1] as number)) break
      }
      if ((signs & CLOSING) !== 0) end = afterPlace(bytes, at, to)
      if (end < 0) end = afterName(bytes, at, wordEnd, to, signs, hasBracket)
      if (end < 0 && !hasName && mayBeComponent(bytes, wordEnd, to, signs)) {
        end = afterComponent(bytes, at, to)
        hasName = end > 0
        if (hasName) {
          head.nameFrom = at
          head.nameTo = end
          const word = skipSpace(bytes, end, to)
          const wordEnd = skipLetters(bytes, word, to)
          const level = byteAt(bytes, wordEnd, to) === COLON ? levelWord(bytes, word, wordEnd) : 0
          if (level !== 0) {
            if (head.level === UNKNOWN || head.level === priorityLevel) head.level = levelOf(level)
            end = wordEnd + 1
          }
        }
      }
    }
    if (end < 0) break
    before = at
    at = skipSpace(bytes, end, to)
  }
  return at < to ? at : before
}

/** `12|`, a number without a level before it, `1 ---`. */
function afterNumber(bytes: Uint8Array, from: number, to: number): number {
  const end = skipDigits(bytes, from, to)
  if (byteAt(bytes, end, to) === BAR) return end + 1
  if (byteAt(bytes, end, to) !== SPACE) return -1
  const place = afterPlace(bytes, skipSpace(bytes, end, to), to)
  if (place > 0) return place
  return head.level === UNKNOWN || byteAt(bytes, skipSpace(bytes, end, to), to) === DASH ? end : -1
}

/** `server.go:213]`: the end of a bracket that the head has opened, as glog writes it. */
function afterPlace(bytes: Uint8Array, from: number, to: number): number {
  let hasColon = false
  for (let at = from; at < to && at < from + MAX_BRACKET_BYTES; at++) {
    const byte = bytes[at] as number
    if (byte <= SPACE || byte === 0x5b) return -1
    if (byte === COLON) hasColon = true
    if (byte === 0x5d) return hasColon ? at + 1 : -1
  }
  return -1
}

/** `Name|`, a dotted name before a bracket, a name before ` - `. The word has these `signs` and ends at `wordEnd`. */
function afterName(
  bytes: Uint8Array,
  from: number,
  wordEnd: number,
  to: number,
  signs: number,
  hasBracket: boolean,
): number {
  let end = wordEnd
  let isPath = (signs & PATH_SIGN) !== 0
  if ((signs & BAR_SIGN) !== 0) {
    end = from
    while (bytes[end] !== BAR) end++
    seeWord(bytes, from, end)
    if ((seen & ODD) !== 0) return -1
    isPath = (seen & PATH_SIGN) !== 0
  } else if ((signs & ODD) !== 0) return -1
  if (end === from || end >= to) return -1
  if (bytes[end] === BAR) return end + 1
  if ((isPath || hasBracket) && isDashAt(bytes, end, to)) return end + 2
  const next = skipSpace(bytes, end, to)
  // Spring pads its loggers: `c.a.App     : text`.
  if (byteAt(bytes, next, to) === COLON && byteAt(bytes, next + 1, to) <= SPACE) {
    head.nameFrom = from
    head.nameTo = end
    return next + 1
  }
  return isPath && bytes[end - 1] !== COLON && byteAt(bytes, next, to) === 0x5b ? end : -1
}

const mayBeComponent = (bytes: Uint8Array, wordEnd: number, to: number, signs: number) =>
  (signs & (COLON_SIGN | OPENING)) !== 0 ||
  (byteAt(bytes, wordEnd, to) === SPACE && byteAt(bytes, wordEnd + 1, to) === 0x28)

/** `name`, `(…)`, `[…]`, ` (…)`, `:`: a name that a colon and a space follow, each bracket if it is there. */
function afterComponent(bytes: Uint8Array, from: number, to: number): number {
  const first = bytes[from] as number
  if (!isLetter(first) && first !== 0x2f && first !== 0x5f) return -1
  let at = from
  while (at < to) {
    const byte = bytes[at] as number
    if (byte === COLON) {
      if (byteAt(bytes, at + 1, to) <= SPACE) return at + 1
    } else if (!isWordByte(byte) && byte !== 0x2e && byte !== 0x24 && byte !== 0x2f && byte !== 0x40 && byte !== 0x23)
      break
    at++
  }
  if (byteAt(bytes, at, to) === 0x28) at = bracketEnd(bytes, at, to)
  if (at > 0 && byteAt(bytes, at, to) === 0x5b) at = bracketEnd(bytes, at, to)
  if (at > 0 && byteAt(bytes, at, to) === SPACE && byteAt(bytes, at + 1, to) === 0x28)
    at = bracketEnd(bytes, at + 1, to)
  if (at < 0) return -1
  return byteAt(bytes, at, to) === COLON && byteAt(bytes, at + 1, to) <= SPACE ? at + 1 : -1
}
