// The tokens of a text: what stays and what varies, in order, and the hash that they make.
import { byteAt, hashOf, isDigit, isLetter } from './bytes.ts'
import { BEFORE_USER, CALENDAR, CLOSES, meaningOf, OPENS, UNIT, USER } from './words.ts'

const COLON = 0x3a

/** Part of every hash. A change of the rules changes hashes, and has to change this: it must be deliberate. */
export const RULES_VERSION = 1

export const MAX_TOKENS = 128
const MAX_REPEAT = 4
const WILDCARD = 0

/** The tokens of the text read last. A hash, or 0 for a wildcard; and where each stands. */
export const tokens = new Int32Array(MAX_TOKENS)
const meanings = new Uint8Array(MAX_TOKENS)
export const starts = new Int32Array(MAX_TOKENS)
export const ends = new Int32Array(MAX_TOKENS)

/** What `mask` found: how many tokens, and their hash in two halves. One object, used again for every text. */
export const masked = { tokens: 0, words: 0, high: 0, low: 0, end: 0 }

export let count = 0
/** A number came last, and a unit may follow. */
let isAfterNumber = false

export function startTokens(): void {
  count = 0
  isAfterNumber = false
}

/** What varies: a number, after which a unit may follow, or something else. */
export function pushWildcard(start: number, end: number, isNumber: boolean): void {
  push(WILDCARD, 0, start, end)
  isAfterNumber = isNumber
}

/** A word that stays. 0 means wildcard, so the one word in four thousand million that hashes to it becomes 1. */
export function pushHash(hash: number, meaning: number, start: number, end: number): void {
  push(hash === 0 ? 1 : hash, meaning, start, end)
}

/** What varies, whatever stands before it: a unit may follow where it might before. */
export function pushPath(start: number, end: number): void {
  push(WILDCARD, 0, start, end)
}

/** Signs without a letter or a digit are no token, but a unit behind them belongs to no number. */
export function endNumber(): void {
  isAfterNumber = false
}

/** A word of letters: stays, unless it is a name, a part of a date or of an address, or belongs to the number before. */
export function pushWord(bytes: Uint8Array, start: number, end: number, to: number, hash: number): void {
  const meaning = meaningOf(hash)
  const afterNumber = isAfterNumber
  isAfterNumber = false
  if (meaning === 0) {
    const isName = count > 1 && meanings[count - 1] === USER && ((meanings[count - 2] as number) & BEFORE_USER) !== 0
    const isPlain = !isName && (((bytes[start] as number) | 32) > 0x66 || !isHexWord(bytes, start, end, to))
    if (isPlain) pushHash(hash, 0, start, end)
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
  else pushHash(hash, meaning, start, end)
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
export function finish(seed: number): void {
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
