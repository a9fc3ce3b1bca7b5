// What each byte of a line can be part of. Lines stay bytes: a string per line would cost more than everything else.
// Bytes from 128 up count as small letters, so UTF-8 needs no decoding and broken UTF-8 does no harm.

export const LOWER = 1
export const UPPER = 2
export const DIGIT = 4
/** `/ \ @`: of paths, URLs, addresses. */
export const PATH = 8
export const DOT = 16
/** `- * # ~ & ^ ? !`: joins words, but is not part of one at its ends. */
export const JOINT = 32
/** Stays part of a word at its ends, too: letters, digits, `_ $ % + / \ @`. */
export const SOLID = 64

export const LETTER = LOWER | UPPER

/** By byte: the sum of what it is; 0 for white space and all other punctuation. */
export const KINDS: Uint8Array = kinds()

function kinds() {
  const table = new Uint8Array(256)
  const mark = (characters: string, kind: number) => {
    for (const character of characters) table[character.charCodeAt(0)] = kind
  }
  mark('abcdefghijklmnopqrstuvwxyz', LOWER | SOLID)
  mark('ABCDEFGHIJKLMNOPQRSTUVWXYZ', UPPER | SOLID)
  mark('0123456789', DIGIT | SOLID)
  mark('/\\@', PATH | SOLID)
  mark('_$%+', SOLID)
  mark('.', DOT)
  mark('-*#~&^?!', JOINT)
  table.fill(LOWER | SOLID, 128)
  return table
}

export const TAB = 0x09
export const NEWLINE = 0x0a
export const RETURN = 0x0d
export const ESCAPE = 0x1b
export const SPACE = 0x20

/** FNV-1a, 32 bits (Fowler, Noll, Vo; RFC 9923). */
export const FNV_BASIS = 0x811c9dc5 | 0
export const FNV_PRIME = 0x01000193

export const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39
export const isLetter = (byte: number) => ((byte | 32) >= 0x61 && (byte | 32) <= 0x7a) || byte >= 128
export const isSpace = (byte: number) => byte <= SPACE

/** The byte at `at`, or a line end where there is none: a scan stops by itself. */
export const byteAt = (bytes: Uint8Array, at: number, to: number) => (at < to ? (bytes[at] as number) : NEWLINE)

/** Where the first byte that is no white space stands, or `to`. */
export function skipSpace(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && (bytes[at] as number) <= SPACE) at++
  return at
}

/** Where the white space begins that follows, or `to`. */
export function skipWord(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && (bytes[at] as number) > SPACE) at++
  return at
}

export function skipDigits(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && isDigit(bytes[at] as number)) at++
  return at
}

/** A text to look for, as bytes. */
export const text = (ascii: string): Uint8Array => Uint8Array.from(ascii, (character) => character.charCodeAt(0))

export function startsWith(bytes: Uint8Array, from: number, to: number, wanted: Uint8Array): boolean {
  if (to - from < wanted.length) return false
  for (let i = 0; i < wanted.length; i++) if (bytes[from + i] !== wanted[i]) return false
  return true
}

/** The first place from `from` on where `wanted` stands, or -1. */
export function find(bytes: Uint8Array, from: number, to: number, wanted: Uint8Array): number {
  const first = wanted[0]
  for (let at = from; at <= to - wanted.length; at++) {
    if (bytes[at] === first && startsWith(bytes, at, to, wanted)) return at
  }
  return -1
}

/** FNV-1a of an ASCII text. */
export function hashOf(ascii: string): number {
  let hash = FNV_BASIS
  for (let i = 0; i < ascii.length; i++) hash = Math.imul(hash ^ ascii.charCodeAt(i), FNV_PRIME)
  return hash
}
