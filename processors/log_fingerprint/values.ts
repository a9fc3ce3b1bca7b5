// Values and quotes in a text: where they end, and that they vary.
import { byteAt, FNV_BASIS, FNV_PRIME, isDigit, isLetter, KINDS, SPACE } from './bytes.ts'
import { pushHash, pushWildcard } from './tokens.ts'
import { meaningOf, STATE } from './words.ts'

const COLON = 0x3a
const EQUALS = 0x3d
export const MAX_QUOTED_BYTES = 300

/** `key=value`, also with nothing behind; not `==`, `=>`. */
export function valueAfterEquals(bytes: Uint8Array, at: number, to: number): number {
  const next = byteAt(bytes, at + 1, to)
  return next === EQUALS || next === 0x3e ? at + 1 : pushValue(bytes, at + 1, to)
}

/** `key:value`, with something behind; not `name::name`. */
export function valueAfterColon(bytes: Uint8Array, at: number, to: number): number {
  const next = byteAt(bytes, at + 1, to)
  return at + 1 >= to || next <= SPACE || next === COLON ? at + 1 : pushValue(bytes, at + 1, to)
}

function pushValue(bytes: Uint8Array, from: number, to: number): number {
  const first = byteAt(bytes, from, to)
  if (first === 0x22 || first === 0x27) {
    const close = closingQuote(bytes, from, to, first)
    if (close > 0) {
      pushWildcard(from, close + 1, false)
      return close + 1
    }
  }
  if (first === 0x5b || first === 0x28 || first === 0x7b || first === 0x3c) {
    pushWildcard(from, from, false)
    return from + 1
  }
  const end = afterValue(bytes, from, to)
  const length = end - from
  if ((length === 4 || length === 5) && isLetter(first)) {
    let hash = FNV_BASIS
    for (let at = from; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME)
    if ((meaningOf(hash) & STATE) !== 0) {
      pushHash(hash, 0, from, end)
      return end
    }
  }
  pushWildcard(from, end, length > 0 && isDigit(bytes[end - 1] as number))
  return end
}

export function afterValue(bytes: Uint8Array, from: number, to: number): number {
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
export function afterQuote(bytes: Uint8Array, at: number, from: number, to: number, quote: number): number {
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
  pushWildcard(at, close + 1, false)
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
