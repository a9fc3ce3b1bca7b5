// Text → pattern: what varies by its type becomes a wildcard, the words that stay are hashed, in order.
// Stateless on purpose: the same text has the same hash on every node, in any order, after every restart.
import { byteAt, DIGIT, DOT, FNV_BASIS, FNV_PRIME, KINDS, LETTER, PATH, SOLID, SPACE } from './bytes.ts'
import {
  count,
  endNumber,
  finish,
  MAX_TOKENS,
  masked,
  pushPath,
  pushWildcard,
  pushWord,
  startTokens,
} from './tokens.ts'
import { afterQuote, afterValue, valueAfterColon, valueAfterEquals } from './values.ts'

const MAX_TEXT_BYTES = 2048
const COLON = 0x3a
const EQUALS = 0x3d

/** `seed` is mixed in: 0, or the hash of what else tells patterns apart. */
export function mask(bytes: Uint8Array, from: number, to: number, seed = 0): void {
  let end = to
  if (to - from > MAX_TEXT_BYTES) {
    end = from + MAX_TEXT_BYTES
    while (end > from + 1 && (bytes[end - 1] as number) > SPACE) end--
    if (end === from + 1) end = from + MAX_TEXT_BYTES
  }
  masked.end = end
  startTokens()
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
  pushWildcard(start, end, true)
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
    if ((seen & (DIGIT | LETTER)) !== 0) pushWildcard(start, end, (seen & DIGIT) !== 0)
    else endNumber()
  } else if ((seen & LETTER) === 0) {
    return at
  } else if ((seen & DOT) !== 0 && !isErrorName(bytes, start, end)) {
    pushWildcard(start, end, false)
  } else {
    if (next === COLON && isPathAfterColon(bytes, start, at, to)) {
      const stop = afterValue(bytes, at, to)
      pushPath(start, stop)
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

/** `…Exception` and `…Error`, whatever package it is from: the kind of error is what tells patterns apart. */
function isErrorName(bytes: Uint8Array, start: number, end: number): boolean {
  const last = bytes[end - 1]
  if (last === 0x72)
    return end - start > 5 && bytes[end - 5] === 0x45 && bytes[end - 4] === 0x72 && bytes[end - 3] === 0x72
  return (
    last === 0x6e && end - start > 9 && bytes[end - 9] === 0x45 && bytes[end - 8] === 0x78 && bytes[end - 6] === 0x65
  )
}
