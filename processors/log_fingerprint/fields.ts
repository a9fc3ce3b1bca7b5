// Records that say themselves which field is which: JSON objects on one line, and logfmt.
import { byteAt, FNV_BASIS, FNV_PRIME, hashOf, isDigit, isLetter, SPACE, skipSpace } from './bytes.ts'
import { INFO, levelNamed, levelOfNumber, UNKNOWN } from './levels.ts'

/** What was found; `from === to` where a field is missing. One object, used again for every line. */
export const fields = {
  level: UNKNOWN,
  /** The message without its quotes, still escaped. */
  messageFrom: 0,
  messageTo: 0,
  hasEscapes: false,
  timeFrom: 0,
  timeTo: 0,
  /** Of the keys, in any order: the pattern of records that have no message. */
  keys: 0,
}

const MESSAGE = 32
const LEVEL = 64
const TIME = 96
const RANK = 31

// The earlier in its list, the better; of equal ones the one less deep.
const MESSAGES =
  'msg message Message @mt @m MESSAGE M short_message body Body log textPayload text event description error err reason'
const LEVEL_KEYS =
  'level severity lvl loglevel log_level logLevel log.level @l severityText severity_text SeverityText levelname level_name Level LEVEL Severity L s PRIORITY priority'
const TIMES = 'time ts timestamp @timestamp @t Timestamp t T datetime date asctime eventTime $date'

const codes = new Map<number, number>()
for (const [code, names] of [
  [MESSAGE, MESSAGES],
  [LEVEL, LEVEL_KEYS],
  [TIME, TIMES],
] as const) {
  for (const [rank, name] of names.split(' ').entries()) codes.set(hashOf(name), code | rank)
}
const MARK_OF_CLEF = hashOf('@t')

const MAX_DEPTH = 32
const QUOTE = 0x22
const BACKSLASH = 0x5c
const isObject = new Uint8Array(MAX_DEPTH + 1)

let messageRank = 0
let levelRank = 0
let timeRank = 0

function reset(from: number) {
  fields.level = UNKNOWN
  fields.messageFrom = fields.messageTo = from
  fields.timeFrom = fields.timeTo = from
  fields.hasEscapes = false
  fields.keys = 0
  messageRank = levelRank = timeRank = Number.MAX_SAFE_INTEGER
}

/** A JSON object and nothing else. It need not be valid in all it says, but it has to close where the line ends. */
export function readJson(bytes: Uint8Array, from: number, to: number): boolean {
  reset(from)
  let depth = 0
  let at = from
  let code = 0
  let isKey = false
  let hasTimeOfClef = false
  while (at < to) {
    const byte = bytes[at] as number
    switch (byte) {
      case 0x7b:
      case 0x5b:
        if (depth >= MAX_DEPTH) return false
        isObject[++depth] = byte === 0x7b ? 1 : 0
        isKey = byte === 0x7b
        code = 0
        at++
        break
      case 0x7d:
      case 0x5d:
        if (--depth < 0) return false
        code = 0
        isKey = false
        at++
        if (depth === 0) {
          if (fields.level === UNKNOWN && hasTimeOfClef) fields.level = INFO
          return skipSpace(bytes, at, to) === to
        }
        break
      case 0x2c:
        isKey = isObject[depth] === 1
        code = 0
        at++
        break
      case QUOTE: {
        const start = at + 1
        let hash = FNV_BASIS
        let hasEscapes = false
        for (at = start; at < to; at++) {
          const inner = bytes[at] as number
          if (inner === QUOTE) break
          if (inner === BACKSLASH) {
            hasEscapes = true
            at++
          } else if (isKey) hash = Math.imul(hash ^ inner, FNV_PRIME)
        }
        if (at >= to) return false
        if (isKey) {
          code = codes.get(hash) ?? 0
          if (depth === 1) {
            fields.keys ^= Math.imul(hash, FNV_PRIME)
            if (hash === MARK_OF_CLEF) hasTimeOfClef = true
          }
          isKey = false
          at = skipSpace(bytes, at + 1, to)
          if (byteAt(bytes, at, to) !== 0x3a) return false
        } else if (code !== 0) {
          take(bytes, start, at, code, depth, true, hasEscapes)
          code = 0
        }
        at++
        break
      }
      default: {
        if (byte <= SPACE || byte === 0x3a) {
          at++
          break
        }
        // Outside the braces nothing stands, and keys have quotes.
        if (depth === 0 || isKey) return false
        const start = at
        while (at < to && !isStop(bytes[at] as number)) at++
        if (code !== 0) take(bytes, start, at, code, depth, false, false)
        code = 0
        if (at === start) at++
      }
    }
  }
  return false
}

const isStop = (byte: number) => byte <= SPACE || byte === 0x2c || byte === 0x7d || byte === 0x5d

function take(
  bytes: Uint8Array,
  from: number,
  to: number,
  code: number,
  depth: number,
  isText: boolean,
  hasEscapes: boolean,
) {
  const rank = depth * 32 + (code & RANK)
  switch (code & ~RANK) {
    case MESSAGE:
      if (!isText || rank >= messageRank || from === to) return
      messageRank = rank
      fields.messageFrom = from
      fields.messageTo = to
      fields.hasEscapes = hasEscapes
      return
    case LEVEL: {
      if (rank >= levelRank) return
      // Deeper down a number is more likely something else's level.
      const level = isNumeric(bytes, from, to)
        ? depth === 1
          ? levelOfNumber(numberOf(bytes, from, to))
          : UNKNOWN
        : levelNamed(bytes, from, to)
      if (level === UNKNOWN) return
      levelRank = rank
      fields.level = level
      return
    }
    default:
      if (rank >= timeRank) return
      timeRank = rank
      fields.timeFrom = from
      fields.timeTo = to
  }
}

function isNumeric(bytes: Uint8Array, from: number, to: number): boolean {
  if (to === from || to - from > 3) return false
  for (let at = from; at < to; at++) if (!isDigit(bytes[at] as number)) return false
  return true
}

function numberOf(bytes: Uint8Array, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) value = value * 10 + (bytes[at] as number) - 0x30
  return value
}

/** `key=value key="some value" …`, with a time, a level or a message among them. */
export function readLogfmt(bytes: Uint8Array, from: number, to: number): boolean {
  if (!isLetter(byteAt(bytes, from, to)) && byteAt(bytes, from, to) !== 0x40) return false
  reset(from)
  let at = from
  let pairs = 0
  let known = 0
  while (at < to) {
    let hash = FNV_BASIS
    const keyFrom = at
    while (at < to && isKeyByte(bytes[at] as number)) hash = Math.imul(hash ^ (bytes[at++] as number), FNV_PRIME)
    if (byteAt(bytes, at, to) !== 0x3d || at === keyFrom) {
      // Only behind some pairs may a word stand alone.
      if (pairs < 2) return false
      while (at < to && (bytes[at] as number) > SPACE) at++
      at = skipSpace(bytes, at, to)
      continue
    }
    at++
    let valueFrom = at
    let valueTo = at
    let hasEscapes = false
    if (byteAt(bytes, at, to) === QUOTE) {
      valueFrom = ++at
      while (at < to && bytes[at] !== QUOTE) {
        if (bytes[at] === BACKSLASH) {
          hasEscapes = true
          at++
        }
        at++
      }
      valueTo = Math.min(at, to)
      at++
    } else {
      while (at < to && (bytes[at] as number) > SPACE) at++
      valueTo = at
    }
    pairs++
    fields.keys ^= Math.imul(hash, FNV_PRIME)
    const code = codes.get(hash) ?? 0
    if (code !== 0) {
      known++
      take(bytes, valueFrom, valueTo, code, 1, true, hasEscapes)
    }
    at = skipSpace(bytes, at, to)
  }
  return pairs >= 2 && known > 0
}

const isKeyByte = (byte: number) =>
  isLetter(byte) || isDigit(byte) || byte === 0x5f || byte === 0x2e || byte === 0x2d || byte === 0x2f || byte === 0x40

/** A message that only names the rest may be as long as it likes; the pattern is made of its begin. */
const scratch = Buffer.alloc(4096)

/** The message with its escapes undone. The buffer is good until the next call. */
export function unescaped(bytes: Uint8Array, from: number, to: number): Buffer {
  let out = 0
  for (let at = from; at < to && out < scratch.length - 4; at++) {
    let byte = bytes[at] as number
    if (byte === BACKSLASH && at + 1 < to) {
      byte = bytes[++at] as number
      if (byte === 0x6e || byte === 0x72) byte = 0x0a
      else if (byte === 0x74) byte = 0x09
      else if (byte === 0x75 && at + 4 < to) {
        const code = Number.parseInt(String.fromCharCode(...bytes.subarray(at + 1, at + 5)), 16)
        at += 4
        // Half of a pair is written as it comes: any byte above 127 is a letter here.
        if (Number.isNaN(code)) continue
        out += scratch.write(String.fromCharCode(code), out)
        continue
      }
    }
    scratch[out++] = byte
  }
  return scratch.subarray(0, out)
}
