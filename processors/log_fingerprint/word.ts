// What signs a word of a line's head has. Seen in one pass, as a head's rules ask for many of them.
import { isDigit, isLetter, SPACE } from './bytes.ts'

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
