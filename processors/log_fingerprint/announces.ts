// Lines that say there is more to come: the next line belongs to them.
import { byteAt, isDigit, isLetter, SPACE, skipSpace } from './bytes.ts'
import { levelOf, levelWord, UNKNOWN } from './levels.ts'

/** `:`, an open bracket, a comma, a backslash, or an operator: there is more to come. */
export const endsOpen = (last: number) =>
  last === 0x3a ||
  last === 0x7b ||
  last === 0x28 ||
  last === 0x5b ||
  last === 0x2c ||
  last === 0x5c ||
  last === 0x3d ||
  last === 0x2a ||
  last === 0x2b

/** Up to three names and nothing else, the first one a class: java.util.logging writes the level on the next line. */
export function isBare(bytes: Uint8Array, from: number, to: number): boolean {
  let end = from
  while (end < to && (bytes[end] as number) > SPACE && bytes[end] !== 0x2e) end++
  const first = byteAt(bytes, from, to)
  if (byteAt(bytes, end, to) !== 0x2e && !(first >= 0x41 && first <= 0x5a)) return false
  let words = 0
  let at = from
  while (at < to) {
    const byte = bytes[at] as number
    if (byte <= SPACE) {
      at = skipSpace(bytes, at, to)
      continue
    }
    if (++words > 3) return false
    while (at < to && (bytes[at] as number) > SPACE) {
      const inner = bytes[at] as number
      if (
        !isLetter(inner) &&
        !isDigit(inner) &&
        inner !== 0x2e &&
        inner !== 0x24 &&
        inner !== 0x5f &&
        inner !== 0x3c &&
        inner !== 0x3e
      )
        return false
      at++
    }
  }
  return words >= 1
}

/** `info: Microsoft.Hosting.Lifetime[14]`: level, category and event; what happened stands below. */
export function isCategory(bytes: Uint8Array, from: number, to: number): boolean {
  if (bytes[to - 1] !== 0x5d) return false
  let at = from
  while (at < to && isLetter(bytes[at] as number)) at++
  if (byteAt(bytes, at, to) !== 0x3a || levelOf(levelWord(bytes, from, at)) === UNKNOWN) return false
  for (at += 2; at < to; at++) if ((bytes[at] as number) <= SPACE) return false
  return true
}
