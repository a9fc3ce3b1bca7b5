// A kernel's dump of stack and registers as dmesg(1) prints it: a time before each line, yet all parts of one message.
// What the lines look like is in arch/x86/kernel/dumpstack.c and process_64.c, arch/arm64/kernel/process.c and
// lib/dump_stack.c of Linux.
import { byteAt, find, isDigit, isLetter, SPACE, skipDigits, skipSpace, startsWith, text } from './bytes.ts'
import { weekdayAt } from './timestamp.ts'

const OPEN = 0x5b
const CLOSE = 0x5d
const COLON = 0x3a
const MAX_HEAD_BYTES = 40
const MAX_FRAME_BYTES = 300
const MAX_REGISTER_NAME = 8

/** `[31961.530491] `, or with `dmesg -T` `[Wed Nov 25 22:56:12 2026] `. */
function isKernelHead(bytes: Uint8Array, from: number, to: number): boolean {
  if (bytes[from] !== OPEN) return false
  const at = skipSpace(bytes, from + 1, to)
  const digits = skipDigits(bytes, at, to)
  if (digits > at) return byteAt(bytes, digits, to) === 0x2e && isDigit(byteAt(bytes, digits + 1, to))
  return weekdayAt(bytes, at, to) > 0
}

const ALWAYS = [
  'Call Trace:',
  'Call trace:',
  'Code: ',
  'Hardware name: ',
  'Modules linked in:',
  'RIP: ',
  'Workqueue: ',
  '---[ end trace',
].map(text)
const CPU = text('CPU: ')
const COMMAND = text(' Comm: ')
const SEGMENTS = text('CS: ')

/** Whether this line of the kernel is a part of the message above; `isDump` where that has such a part already. */
export function isDumpPart(bytes: Uint8Array, from: number, to: number, isDump: boolean): boolean {
  if (!isKernelHead(bytes, from, to)) return false
  let head = afterBracket(bytes, from, to)
  // The task or the CPU that printed it: `[  T123]`, `[    C0]`.
  if (head > 0 && bytes[head] === OPEN) head = afterBracket(bytes, head, to)
  if (head < 0) return false
  const at = skipSpace(bytes, head, to)
  if (at >= to || at === head) return false
  if (at > head + 1) return bytes[at] === 0x3c ? bytes[to - 1] === 0x3e : hasPlace(bytes, at, to)
  if (startsWith(bytes, at, to, CPU)) return isDigit(byteAt(bytes, at + 5, to)) && find(bytes, at, to, COMMAND) > 0
  for (const words of ALWAYS) if (startsWith(bytes, at, to, words)) return true
  return isDump && (startsWith(bytes, at, to, SEGMENTS) || isRegister(bytes, at, to))
}

/** Behind the bracket that opens at `from`, or -1. */
function afterBracket(bytes: Uint8Array, from: number, to: number): number {
  const limit = Math.min(to, from + MAX_HEAD_BYTES)
  for (let at = from + 1; at < limit; at++) if (bytes[at] === CLOSE) return at + 1
  return -1
}

/** `dump_stack_lvl+0x57/0x80`: a function, how far in, and how long it is. */
function hasPlace(bytes: Uint8Array, from: number, to: number): boolean {
  const limit = Math.min(to, from + MAX_FRAME_BYTES)
  for (let at = from; at < limit; at++) {
    if (bytes[at] !== 0x2b || byteAt(bytes, at + 1, to) !== 0x30 || byteAt(bytes, at + 2, to) !== 0x78) continue
    const end = skipHex(bytes, at + 3, to)
    if (end > at + 3 && byteAt(bytes, end, to) === 0x2f && byteAt(bytes, end + 1, to) === 0x30) return true
  }
  return false
}

/** `RSP: 002b:00007ffde608aa08`, `RAX: 0000000000000001`, `EAX: 00000001`, `pc : do_exit+0x1c/0x9c`, `pstate: 60400005`. */
function isRegister(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from
  while (at < to && (isLetter(bytes[at] as number) || isDigit(bytes[at] as number) || bytes[at] === 0x5f)) at++
  if (at < from + 2 || at > from + MAX_REGISTER_NAME) return false
  if (byteAt(bytes, at, to) === SPACE) at++
  if (byteAt(bytes, at, to) !== COLON || byteAt(bytes, at + 1, to) !== SPACE) return false
  const value = skipSpace(bytes, at + 1, to)
  const end = skipHex(bytes, value, to)
  if (end === value + 4 && byteAt(bytes, end, to) === COLON) return skipHex(bytes, end + 1, to) >= end + 9
  const next = byteAt(bytes, end, to)
  if ((end === value + 8 || end === value + 16) && (next <= SPACE || next === 0x28)) return true
  return hasPlace(bytes, value, to)
}

function skipHex(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && isHex(bytes[at] as number)) at++
  return at
}

const isHex = (byte: number) => isDigit(byte) || ((byte | 32) >= 0x61 && (byte | 32) <= 0x66)
