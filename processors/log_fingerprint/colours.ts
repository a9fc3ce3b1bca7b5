// Takes colours out of a line, before anything else looks at it.
import { byteAt, ESCAPE, isLetter } from './bytes.ts'

/** The last line without colours. */
export let plain = Buffer.alloc(0)

/** Puts the line into `plain` without its escape sequences (ECMA-48, `ESC [ … letter`). Returns its length there. */
export function withoutColours(bytes: Uint8Array, from: number, to: number): number {
  if (plain.length < to - from) plain = Buffer.alloc((to - from) * 2)
  let out = 0
  for (let at = from; at < to; ) {
    const byte = bytes[at] as number
    if (byte !== ESCAPE) {
      plain[out++] = byte
      at++
      continue
    }
    at++
    if (byteAt(bytes, at, to) !== 0x5b) continue
    at++
    while (at < to && !isLetter(bytes[at] as number)) at++
    at++
  }
  return out
}
