// What signs a word of a line's head has. Seen in one pass, as a head's rules ask for many of them.
import { byteAt, isDigit, isLetter, SPACE } from './bytes.ts'

export const COLON_SIGN = 1
export const BAR_SIGN = 2
/** `(` and `[` */
export const OPENING = 4
/** `]` */
export const CLOSING = 8
/** Nothing that the name of a component has. */
export const ODD = 16
export const DOT_SIGN = 32
/** `. : $ @ /`: of a dotted name or a path. */
export const PATH_SIGN = 64
/** `user@database`, `tid=gq7` */
export const FIELD_SIGN = 128
/** Anything but `-`, `:` and `>`. */
export const NO_SIGN = 256

export const isWordByte = (byte: number) => isLetter(byte) || isDigit(byte) || byte === 0x5f || byte === 0x2d

const SIGNS: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  const has = (characters: string, sign: number) => (characters.includes(character) ? sign : 0)
  return (
    has(':', COLON_SIGN) |
    has('|', BAR_SIGN) |
    has('([', OPENING) |
    has(']', CLOSING) |
    has('.', DOT_SIGN) |
    has('.:$@/', PATH_SIGN) |
    has('@=', FIELD_SIGN) |
    (isWordByte(byte) || '.:$@/|'.includes(character) ? 0 : ODD) |
    ('-:>'.includes(character) ? 0 : NO_SIGN)
  )
})

/** The signs of the word that `seeWord` read last. */
export let seen = 0

/** Where the word ends that begins at `from`: at white space, or at `to`. */
export function seeWord(bytes: Uint8Array, from: number, to: number): number {
  let signs = 0
  let at = from
  while (at < to) {
    const byte = bytes[at] as number
    if (byte <= SPACE) break
    signs |= SIGNS[byte] as number
    at++
  }
  seen = signs
  return at
}

/** What belongs to a time that ended. */
export const isAfterTime = (byte: number) =>
  byte === 0x5d || byte === 0x29 || byte === 0x3e || byte === 0x2c || byte === 0x3a || byte === 0x3b || byte === 0x7c

export const isOpening = (byte: number) => byte === 0x5b || byte === 0x28 || byte === 0x3c || byte === 0x7b
export const isDashAt = (bytes: Uint8Array, at: number, to: number) =>
  byteAt(bytes, at, to) === SPACE && byteAt(bytes, at + 1, to) === 0x2d && byteAt(bytes, at + 2, to) === SPACE

export const MAX_BRACKET_BYTES = 200

/** Behind the bracket that closes the one at `from`, or -1 when it is too far away. */
export function bracketEnd(bytes: Uint8Array, from: number, to: number): number {
  const open = bytes[from] as number
  const close = open === 0x28 ? 0x29 : open + 2
  const end = Math.min(to, from + MAX_BRACKET_BYTES)
  let depth = 0
  for (let at = from; at < end; at++) {
    const byte = bytes[at]
    if (byte === open) depth++
    else if (byte === close && --depth === 0) return at + 1
  }
  return -1
}
