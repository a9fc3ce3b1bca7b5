// Text → pattern: what varies by its type becomes a wildcard, the words that stay are hashed, in order.
// Stateless on purpose: the same text has the same hash on every node, in any order, after every restart.
import {
  byteAt,
  DIGIT,
  DOT,
  FNV_BASIS,
  FNV_PRIME,
  hashOf,
  isDigit,
  isLetter,
  KINDS,
  LETTER,
  PATH,
  SOLID,
  SPACE,
} from './bytes.ts'
import { BEFORE_USER, CALENDAR, CLOSES, meaningOf, OPENS, STATE, UNIT, USER } from './words.ts'

/** Part of every hash. A change of the rules changes hashes, and has to change this: it must be deliberate. */
export const RULES_VERSION = 1

export const MAX_TOKENS = 128
const MAX_TEXT_BYTES = 2048
export const MAX_QUOTED_BYTES = 300
const MAX_REPEAT = 4
const WILDCARD = 0

const COLON = 0x3a
const EQUALS = 0x3d

/** The tokens of the text read last. A hash, or 0 for a wildcard; and where each stands. */
export const tokens = new Int32Array(MAX_TOKENS)
const meanings = new Uint8Array(MAX_TOKENS)
export const starts = new Int32Array(MAX_TOKENS)
export const ends = new Int32Array(MAX_TOKENS)

/** What `mask` found: how many tokens, and their hash in two halves. One object, used again for every text. */
export const masked = { tokens: 0, words: 0, high: 0, low: 0, end: 0 }

let count = 0
/** A number came last, and a unit may follow. */
let isAfterNumber = false

/** `seed` is mixed in: 0, or the hash of what else tells patterns apart. */
export function mask(bytes: Uint8Array, from: number, to: number, seed = 0): void {
  let end = to
  if (to - from > MAX_TEXT_BYTES) {
    end = from + MAX_TEXT_BYTES
    while (end > from + 1 && (bytes[end - 1] as number) > SPACE) end--
    if (end === from + 1) end = from + MAX_TEXT_BYTES
  }
  masked.end = end
  count = 0
  isAfterNumber = false
  readTokens(bytes, from, end)
  finish(seed)
}

function readTokens(bytes: Uint8Array, from: number, to: number): void {
  let at = from
  while (at < to && count < MAX_TOKENS) {
    let byte = bytes[at] as number
    let kind = KINDS[byte] as number
    if (kind === 0) {
      at = byte === 0x22 || byte === 0x27 || byte === 0x60 ? afterQuote(bytes, at, from, to, byte) : at + 1
      continue
    }
    if ((kind & SOLID) === 0) {
      at++
      continue
    }
    const start = at
    if ((kind & DIGIT) !== 0) {
      at = afterNumber(bytes, at, to)
      continue
    }
    let hash = FNV_BASIS
    // Most words are letters only.
    while ((kind & LETTER) !== 0) {
      hash = Math.imul(hash ^ byte, FNV_PRIME)
      if (++at >= to) {
        kind = 0
        break
      }
      byte = bytes[at] as number
      kind = KINDS[byte] as number
    }
    if (kind === 0) {
      at = afterToken(bytes, start, at, at, to, hash, LETTER)
      continue
    }
    let seen = at > start ? LETTER : 0
    let solidHash = hash
    let solidSeen = seen
    let end = at - 1
    do {
      hash = Math.imul(hash ^ byte, FNV_PRIME)
      seen |= kind
      if ((kind & SOLID) !== 0) {
        solidHash = hash
        solidSeen = seen
        end = at
      } else if (kind === DOT && at + 1 < to && bytes[at + 1] === byte) break
      if (++at >= to) break
      byte = bytes[at] as number
      kind = KINDS[byte] as number
    } while (kind !== 0)
    end++
    at = afterToken(bytes, start, end, at, to, solidHash, solidSeen)
  }
}

/** What begins with a digit varies, whatever follows: no hash is needed. */
function afterNumber(bytes: Uint8Array, start: number, to: number): number {
  let at = start + 1
  while (at < to) {
    const byte = bytes[at] as number
    const kind = KINDS[byte] as number
    if (kind === 0 || (kind === DOT && at + 1 < to && bytes[at + 1] === byte)) break
    at++
  }
  let end = at
  while (((KINDS[bytes[end - 1] as number] as number) & SOLID) === 0) end--
  push(WILDCARD, 0, start, end)
  isAfterNumber = true
  if (end !== at || at >= to) return at
  const next = bytes[at]
  if (next === EQUALS) return valueAfterEquals(bytes, at, to)
  return next === COLON ? valueAfterColon(bytes, at, to) : at
}

/** Writes the token down. Returns where to go on: `at`, or behind a value that belongs to it. */
function afterToken(
  bytes: Uint8Array,
  start: number,
  end: number,
  at: number,
  to: number,
  hash: number,
  seen: number,
): number {
  const next = at < to ? (bytes[at] as number) : 0
  if ((seen & (DIGIT | PATH)) !== 0) {
    if ((seen & (DIGIT | LETTER)) !== 0) push(WILDCARD, 0, start, end)
    isAfterNumber = (seen & DIGIT) !== 0
  } else if ((seen & LETTER) === 0) {
    return at
  } else if ((seen & DOT) !== 0 && !isErrorName(bytes, start, end)) {
    push(WILDCARD, 0, start, end)
    isAfterNumber = false
  } else {
    if (next === COLON && isPathAfterColon(bytes, start, at, to)) {
      const stop = afterValue(bytes, at, to)
      push(WILDCARD, 0, start, stop)
      return stop
    }
    pushWord(bytes, start, end, to, hash)
  }
  if (end !== at) return at
  if (next === EQUALS) return valueAfterEquals(bytes, at, to)
  if (next === COLON) return valueAfterColon(bytes, at, to)
  return at
}

/** `https://…`, `C:\\…`: the name before the colon belongs to it. */
function isPathAfterColon(bytes: Uint8Array, start: number, colon: number, to: number): boolean {
  const next = byteAt(bytes, colon + 1, to)
  if (next === 0x2f) return colon - start === 1 || byteAt(bytes, colon + 2, to) === next
  return next === 0x5c && colon - start === 1
}

function pushWord(bytes: Uint8Array, start: number, end: number, to: number, hash: number): void {
  const meaning = meaningOf(hash)
  const afterNumber = isAfterNumber
  isAfterNumber = false
  if (meaning === 0) {
    const isName = count > 1 && meanings[count - 1] === USER && ((meanings[count - 2] as number) & BEFORE_USER) !== 0
    const isPlain = !isName && (((bytes[start] as number) | 32) > 0x66 || !isHexWord(bytes, start, end, to))
    if (isPlain) push(hash === 0 ? 1 : hash, 0, start, end)
    else push(WILDCARD, 0, start, end)
    return
  }
  if ((meaning & UNIT) !== 0 && afterNumber && count > 0 && start - (ends[count - 1] as number) <= 1) {
    ends[count - 1] = end
    return
  }
  if ((meaning & CLOSES) !== 0 && count > 1 && ((meanings[count - 2] as number) & OPENS) !== 0) {
    tokens[count - 1] = WILDCARD
    meanings[count - 1] = 0
  }
  const isName = count > 1 && meanings[count - 1] === USER && ((meanings[count - 2] as number) & BEFORE_USER) !== 0
  if ((meaning & CALENDAR) !== 0 || isName || isHexWord(bytes, start, end, to)) push(WILDCARD, 0, start, end)
  // 0 means wildcard, so the one word in four thousand million that hashes to it becomes 1.
  else push(hash === 0 ? 1 : hash, meaning, start, end)
}

/** `…Exception` and `…Error`, whatever package it is from: the kind of error is what tells patterns apart. */
function isErrorName(bytes: Uint8Array, start: number, end: number): boolean {
  const last = bytes[end - 1]
  if (last === 0x72)
    return end - start > 5 && bytes[end - 5] === 0x45 && bytes[end - 4] === 0x72 && bytes[end - 3] === 0x72
  return (
    last === 0x6e && end - start > 9 && bytes[end - 9] === 0x45 && bytes[end - 8] === 0x78 && bytes[end - 6] === 0x65
  )
}

/** A part of a MAC or IPv6 address without a digit, or eight and more letters a to f. */
function isHexWord(bytes: Uint8Array, start: number, end: number, to: number): boolean {
  const length = end - start
  const isPart = length <= 4 && (bytes[start - 1] === COLON || byteAt(bytes, end, to) === COLON)
  if (!isPart && length < 8) return false
  for (let at = start; at < end; at++)
    if (((bytes[at] as number) | 32) > 0x66 || !isLetter(bytes[at] as number)) return false
  if (!isPart) return true
  let colons = 0
  for (let at = start - 1; at >= 0 && isHexByte(bytes[at] as number); at--) if (bytes[at] === COLON) colons++
  for (let at = end; at < to && isHexByte(bytes[at] as number); at++) if (bytes[at] === COLON) colons++
  return colons >= 3
}

const isHexByte = (byte: number) => isDigit(byte) || byte === COLON || ((byte | 32) >= 0x61 && (byte | 32) <= 0x66)

/** `key=value`, also with nothing behind; not `==`, `=>`. */
function valueAfterEquals(bytes: Uint8Array, at: number, to: number): number {
  const next = byteAt(bytes, at + 1, to)
  return next === EQUALS || next === 0x3e ? at + 1 : pushValue(bytes, at + 1, to)
}

/** `key:value`, with something behind; not `name::name`. */
function valueAfterColon(bytes: Uint8Array, at: number, to: number): number {
  const next = byteAt(bytes, at + 1, to)
  return at + 1 >= to || next <= SPACE || next === COLON ? at + 1 : pushValue(bytes, at + 1, to)
}

function pushValue(bytes: Uint8Array, from: number, to: number): number {
  const first = byteAt(bytes, from, to)
  if (first === 0x22 || first === 0x27) {
    const close = closingQuote(bytes, from, to, first)
    if (close > 0) {
      push(WILDCARD, 0, from, close + 1)
      isAfterNumber = false
      return close + 1
    }
  }
  if (first === 0x5b || first === 0x28 || first === 0x7b || first === 0x3c) {
    push(WILDCARD, 0, from, from)
    isAfterNumber = false
    return from + 1
  }
  const end = afterValue(bytes, from, to)
  const length = end - from
  if ((length === 4 || length === 5) && isLetter(first)) {
    let hash = FNV_BASIS
    for (let at = from; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
    if ((meaningOf(hash) & STATE) !== 0) {
      push(hash, 0, from, end)
      return end
    }
  }
  push(WILDCARD, 0, from, end)
  isAfterNumber = length > 0 && isDigit(bytes[end - 1] as number)
  return end
}

function afterValue(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to) {
    const byte = bytes[at] as number
    if (byte <= SPACE || byte === 0x22 || byte === 0x27) break
    if (
      byte === 0x2c ||
      byte === 0x3b ||
      byte === 0x29 ||
      byte === 0x5d ||
      byte === 0x7d ||
      byte === 0x3e ||
      byte === 0x7c
    )
      break
    at++
  }
  return at
}

/** The quote that closes the one at `from`, or -1 when it is too far away. A backslash hides one. */
function closingQuote(bytes: Uint8Array, from: number, to: number, quote: number): number {
  const end = Math.min(to, from + MAX_QUOTED_BYTES)
  for (let at = from + 1; at < end; at++) {
    const byte = bytes[at]
    if (byte === 0x5c) at++
    else if (byte === quote) return at
  }
  return -1
}

/**
 * A quoted string is a value when it has no spaces or stands behind `=` or `:`. Otherwise quotes are only punctuation,
 * so that `"GET /cart HTTP/1.1"` keeps its GET.
 */
function afterQuote(bytes: Uint8Array, at: number, from: number, to: number, quote: number): number {
  const before = at > from ? (bytes[at - 1] as number) : SPACE
  // An apostrophe, or the end of a string whose begin was only punctuation.
  if (KINDS[before] !== 0) return at + 1
  const close = closingQuote(bytes, at, to, quote === 0x60 && hasClosingBefore(bytes, at, to) ? 0x27 : quote)
  if (close < 0) return at + 1
  if (before !== EQUALS && before !== COLON) {
    let capitals = 0
    for (let i = at + 1; i < close; i++) {
      const byte = bytes[i] as number
      if (byte <= SPACE) return at + 1
      if (byte >= 0x41 && byte <= 0x5a) capitals++
    }
    // An HTTP method.
    const length = close - at - 1
    if (capitals === length && length >= 3 && length <= 7) return at + 1
  }
  push(WILDCARD, 0, at, close + 1)
  isAfterNumber = false
  return close + 1
}

/** `` `name' ``, as Ruby before 3.4 and GNU tools quote. */
function hasClosingBefore(bytes: Uint8Array, at: number, to: number): boolean {
  for (let i = at + 1; i < to && i < at + MAX_QUOTED_BYTES; i++) {
    if (bytes[i] === 0x60) return false
    if (bytes[i] === 0x27) return true
  }
  return false
}

function push(token: number, meaning: number, start: number, end: number): void {
  if (count >= MAX_TOKENS) return
  if (token === WILDCARD && count > 0 && tokens[count - 1] === WILDCARD) {
    ends[count - 1] = end
    return
  }
  tokens[count] = token
  meanings[count] = meaning
  starts[count] = start
  ends[count] = end
  count++
  // A list is one pattern, however long: what repeats at once is dropped.
  for (let length = 1; length <= MAX_REPEAT && length * 2 <= count; length++) {
    if (tokens[count - 1 - length] !== token || !isRepeated(length)) continue
    count -= length
    ends[count - 1] = end
    return
  }
}

function isRepeated(length: number): boolean {
  for (let i = 2; i <= length; i++) if (tokens[count - i] !== tokens[count - i - length]) return false
  return true
}

const SEED_HIGH = hashOf(`leadline pattern ${RULES_VERSION}`)
const SEED_LOW = hashOf(`${RULES_VERSION} pattern leadline`)

/** Mixes the tokens into 64 bits (the finalizer is MurmurHash3's). */
function finish(seed: number): void {
  let high = SEED_HIGH ^ seed
  let low = SEED_LOW + seed
  let words = 0
  for (let i = 0; i < count; i++) {
    const token = tokens[i] as number
    if (token !== WILDCARD) words++
    high = Math.imul((high << 13) | (high >>> 19), 0x85ebca6b) ^ token
    low = Math.imul(low ^ token, 0x9e3779b1)
    low ^= low >>> 15
  }
  masked.tokens = count
  masked.words = words
  masked.high = final(high ^ count)
  masked.low = final(low + high)
}

function final(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** The pattern as people read it: the words, `<*>` for what varies. Of the text that `mask` read last. */
export function template(bytes: Buffer): string {
  let out = ''
  let at = masked.tokens > 0 ? (starts[0] as number) : 0
  for (let i = 0; i < masked.tokens; i++) {
    const start = starts[i] as number
    if (start > at) out += bytes.toString('utf8', at, start).replaceAll(/\s+/g, ' ')
    out += tokens[i] === WILDCARD ? '<*>' : bytes.toString('utf8', start, ends[i] as number)
    at = Math.max(start, ends[i] as number)
  }
  return masked.tokens > 0 && at < masked.end ? out + bytes.toString('utf8', at, masked.end).trimEnd() : out
}
