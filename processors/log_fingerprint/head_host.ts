// What syslog and its like write between time and text: host, program, process and message ids.
import { byteAt, isLetter, SPACE, skipDigits, skipSpace, skipWord } from './bytes.ts'
import { isWeak, levelWord } from './levels.ts'
import { bracketEnd, isWordByte } from './word.ts'

const COLON = 0x3a
const DASH = 0x2d

/** Host, application, process and message ids, and structured data (RFC 5424 §6). */
export function afterMessageId(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  for (let words = 0; words < 4; words++) at = skipWord(bytes, skipSpace(bytes, at, to), to)
  at = skipSpace(bytes, at, to)
  if (byteAt(bytes, at, to) === DASH) return at + 1
  while (byteAt(bytes, at, to) === 0x5b) {
    const end = bracketEnd(bytes, at, to)
    if (end < 0) break
    at = end
  }
  return at
}

/** RFC 3164: one word that is not the tag already. */
export function afterHost(bytes: Uint8Array, from: number, to: number): number {
  const host = skipSpace(bytes, from, to)
  const end = skipWord(bytes, host, to)
  const last = bytes[end - 1]
  if (end >= to || last === COLON || last === 0x5d) return from
  return afterSpacedTag(bytes, end, to)
}

/** `Some Program[123]:` — tags may have spaces. */
function afterSpacedTag(bytes: Uint8Array, from: number, to: number): number {
  let at = skipSpace(bytes, from, to)
  const limit = Math.min(to, at + 64)
  let hasSpace = false
  while (at < limit && bytes[at] !== COLON && bytes[at] !== 0x5b) {
    if (bytes[at] === SPACE) hasSpace = true
    at++
  }
  if (!hasSpace || byteAt(bytes, at, to) !== 0x5b) return from
  const digits = skipDigits(bytes, at + 1, to)
  return digits > at + 1 && byteAt(bytes, digits, to) === 0x5d && byteAt(bytes, digits + 1, to) === COLON
    ? digits + 2
    : from
}

/** Of `node-1 sshd[123]: …` behind an ISO time, only with both. */
export function afterHostAndTag(bytes: Uint8Array, from: number, to: number): number {
  const host = skipSpace(bytes, from, to)
  if (host >= to || !isLetter(bytes[host] as number)) return from
  const end = skipWord(bytes, host, to)
  if (bytes[end - 1] === COLON || byteAt(bytes, end, to) !== SPACE) return from
  let name = host
  while (name < end && isTagByte(bytes[name] as number)) name++
  const level = levelWord(bytes, host, name)
  if (level !== 0 && !isWeak(level)) return from
  const tag = end + 1
  let at = tag
  while (at < to && isTagByte(bytes[at] as number)) at++
  if (at === tag || byteAt(bytes, at, to) !== 0x5b) return from
  const digits = skipDigits(bytes, at + 1, to)
  return digits > at + 1 && byteAt(bytes, digits, to) === 0x5d && byteAt(bytes, digits + 1, to) === COLON ? end : from
}

const isTagByte = (byte: number) => isWordByte(byte) || byte === 0x2e || byte === 0x2f || byte === 0x28 || byte === 0x29
