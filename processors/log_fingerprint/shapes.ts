// What a line without a head of its own is: a part of the message above, the begin of a crash, or just text.
// Only first bytes and fixed words are compared, so the time per line is bounded.
import { byteAt, find, isDigit, isLetter, SPACE, skipDigits, skipSpace, startsWith, text } from './bytes.ts'

export const PLAIN = 0
/** Never stands alone when there is something above it. */
export const PART = 1
/** A crash that begins here, whatever is above. */
export const CRASH = 2
/** `TypeError: …`: what an error says. Under a line with a time it belongs to it, else it begins a message. */
export const ERROR_TEXT = 3
/** Python's. */
export const TRACEBACK = 4
/** The sentences between two tracebacks. */
export const CHAIN = 5
/** Go's `panic:` and `fatal error:`. */
export const GO_PANIC = 6
export const GOROUTINE = 7
/** `/app/queue.js:88`: Node shows the line of code first. */
export const CODE_PLACE = 8
/** What sanitizers draw above and below their reports. */
export const BAR = 9
/** What a sanitizer's report says first. */
export const REPORT = 10
/** `thread 'main' panicked at src/main.rs:4:5:`, the message follows. */
export const CRASH_HEAD = 11

const starting = (shape: number, ...words: string[]) => words.map((word) => ({ shape, bytes: text(word) }))

const PREFIXES = [
  ...starting(
    TRACEBACK,
    'Traceback (most recent call last)',
    'Exception Group Traceback (most recent',
    '+ Exception Group Traceback',
  ),
  ...starting(CHAIN, 'During handling of the above exception', 'The above exception was the direct cause'),
  ...starting(GO_PANIC, 'panic: ', 'fatal error: ', 'SIGSEGV: ', 'SIGABRT: ', 'SIGQUIT: ', 'unexpected fault address'),
  ...starting(
    GOROUTINE,
    'goroutine ',
    'created by ',
    '[signal SIG',
    '[signal 0x',
    'runtime stack:',
    'exit status from',
  ),
  ...starting(REPORT, 'WARNING: DATA RACE', 'WARNING: ThreadSanitizer', 'WARNING: MemorySanitizer'),
  ...starting(
    CRASH,
    'Exception in thread',
    'Unhandled exception',
    'Unhandled Exception',
    'terminate called',
    'libc++abi: ',
  ),
  ...starting(
    CRASH,
    'terminating with',
    '*** ',
    'PHP Fatal error:',
    'PHP Parse error:',
    'Fatal error: ',
    'Parse error: ',
  ),
  ...starting(
    CRASH,
    'PHP Warning:',
    'PHP Notice:',
    'PHP Deprecated:',
    'Uncaught ',
    'fatal runtime error:',
    'Segmentation fault',
  ),
  ...starting(CRASH, 'Exception: ', 'Unhandled rejection', 'UnhandledPromiseRejection', '(node:'),
  ...starting(ERROR_TEXT, '** (', 'Uncaught exception'),
  ...starting(
    PART,
    'Caused by: ',
    'caused by: ',
    'Caused by:',
    'Suppressed: ',
    'Stack trace:',
    'Stacktrace:',
    '[stacktrace]',
  ),
  ...starting(
    PART,
    'stack backtrace:',
    'Backtrace:',
    'backtrace:',
    'Call stack:',
    'note: ',
    'SUMMARY: ',
    '--- End of',
    '---> ',
  ),
  ...starting(
    PART,
    'Node.js v',
    'thrown in ',
    'Previous exception',
    'Inner exception',
    'Nested exception',
    'BEGIN failed--',
  ),
  ...starting(PART, 'Compilation failed in require', 'PC: @', '(Use `node --trace', 'Require stack:'),
  ...starting(PART, 'PHP Stack trace:'),
]

const byFirst: (typeof PREFIXES)[] = []
for (const prefix of PREFIXES) {
  const first = prefix.bytes[0] as number
  byFirst[first] = [...(byFirst[first] ?? []), prefix]
}

const PANICKED = text(' panicked at ')
const IN = text(':in ')
const MAX_NAME_BYTES = 200

/** The line stands from `from`, where no white space is, to `to`. */
export function shapeOf(bytes: Uint8Array, from: number, to: number): number {
  const first = bytes[from] as number
  const prefixes = byFirst[first]
  if (prefixes !== undefined) {
    for (let i = 0; i < prefixes.length; i++) {
      const prefix = prefixes[i] as (typeof PREFIXES)[number]
      if (startsWith(bytes, from, to, prefix.bytes)) return prefix.shape
    }
  }
  switch (first) {
    case 0x7d: // }
    case 0x5d: // ]
    case 0x29: // )
    case 0x5e: // ^
    case 0x7c: // |
      return PART
    case 0x2e: // ... 12 more
      return byteAt(bytes, from + 1, to) === 0x2e && byteAt(bytes, from + 2, to) === 0x2e ? PART : PLAIN
    case 0x2b: // +---
      return byteAt(bytes, from + 1, to) === 0x2d ? PART : PLAIN
    case 0x23: // #0 /app/index.php(5)
      return isDigit(byteAt(bytes, from + 1, to)) ? PART : PLAIN
    case 0x3d:
      return barOrReport(bytes, from, to)
    case 0x61: // at com.acme.Main.run(Main.java:4)
      if (isFrame(bytes, from, to)) return PART
      break
    case 0x74: // thread 'main' panicked at …
      if (startsWith(bytes, from, to, THREAD) && find(bytes, from, Math.min(to, from + MAX_NAME_BYTES), PANICKED) > 0) {
        return bytes[to - 1] === 0x3a ? CRASH_HEAD : CRASH
      }
  }
  return nameShape(bytes, from, to)
}

const THREAD = text("thread '")
const AT = text('at ')

function isFrame(bytes: Uint8Array, from: number, to: number): boolean {
  if (!startsWith(bytes, from, to, AT)) return false
  for (let at = from + 3; at < to && at < from + MAX_NAME_BYTES; at++) {
    const byte = bytes[at] as number
    if (byte === 0x28) return true
    if (byte <= SPACE) return false
  }
  return false
}

/** Go and ThreadSanitizer draw 18, AddressSanitizer 65, and then `==12==ERROR: …`. */
function barOrReport(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && bytes[at] === 0x3d) at++
  if (skipSpace(bytes, at, to) === to) return at - from === 18 || at - from === 65 ? BAR : PLAIN
  if (at !== from + 2) return PLAIN
  const digits = skipDigits(bytes, at, to)
  if (digits === at || byteAt(bytes, digits, to) !== 0x3d || byteAt(bytes, digits + 1, to) !== 0x3d) return PLAIN
  return startsWith(bytes, digits + 2, to, ERROR_COLON) || startsWith(bytes, digits + 2, to, WARNING_COLON)
    ? REPORT
    : PART
}

const ERROR_COLON = text('ERROR: ')
const WARNING_COLON = text('WARNING: ')

/** Lines that begin with a name: of an error, or of a place in the code. */
function nameShape(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  const limit = Math.min(to, from + MAX_NAME_BYTES)
  let hasSlash = false
  while (at < limit) {
    const byte = bytes[at] as number
    if (byte === 0x3a || byte <= SPACE || byte === 0x28) break
    if (byte === 0x2f) hasSlash = true
    at++
  }
  const next = byteAt(bytes, at, to)
  if (next === 0x3a && isDigit(byteAt(bytes, at + 1, to))) {
    const digits = skipDigits(bytes, at + 1, to)
    if (startsWith(bytes, digits, to, IN)) return isRubyCrash(bytes, digits + IN.length, to) ? CRASH : PART
    if (digits === to && isScript(bytes, from, at)) return CODE_PLACE
    return PLAIN
  }
  // node:internal/modules/cjs/loader:1080
  if (next === 0x3a && !hasSlash && at - from === 4 && startsWith(bytes, from, to, NODE_INTERNAL)) {
    let colon = to - 1
    while (colon > at && isDigit(bytes[colon] as number)) colon--
    return colon < to - 1 && bytes[colon] === 0x3a ? CODE_PLACE : PLAIN
  }
  if ((next === 0x3a || (at === to && hasDot(bytes, from, at))) && isErrorName(bytes, from, at)) return ERROR_TEXT
  return PLAIN
}

const NODE_INTERNAL = text('node:internal/')

const hasDot = (bytes: Uint8Array, from: number, to: number) => {
  for (let at = from; at < to; at++) if (bytes[at] === 0x2e) return true
  return false
}

/** `app.rb:3:in 'foo': message (RuntimeError)`; without a message it is one of the lines below it. */
function isRubyCrash(bytes: Uint8Array, from: number, to: number): boolean {
  if (bytes[to - 1] !== 0x29) return false
  for (let at = from; at + 1 < to && at < from + MAX_NAME_BYTES; at++) {
    if (bytes[at] === 0x3a && bytes[at + 1] === SPACE) return true
  }
  return false
}

function isScript(bytes: Uint8Array, from: number, to: number): boolean {
  const last = bytes[to - 1]
  return (
    (last === 0x73 && (bytes[to - 2] === 0x6a || bytes[to - 2] === 0x74)) ||
    (last === 0x78 && bytes[to - 2] === 0x73 && to - from > 4)
  )
}

/** `TypeError`, `java.sql.SQLException`, `PG::UndefinedTable` is none. */
function isErrorName(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from < 5) return false
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (!isLetter(byte) && !isDigit(byte) && byte !== 0x2e && byte !== 0x5f && byte !== 0x24) return false
  }
  return (
    endsWith(bytes, to, ERROR) ||
    endsWith(bytes, to, EXCEPTION) ||
    endsWith(bytes, to, THROWABLE) ||
    endsWith(bytes, to, INTERRUPT) ||
    endsWith(bytes, to, WARNING)
  )
}

const ERROR = text('Error')
const EXCEPTION = text('Exception')
const THROWABLE = text('Throwable')
const INTERRUPT = text('Interrupt')
const WARNING = text('Warning')
const endsWith = (bytes: Uint8Array, to: number, end: Uint8Array) => startsWith(bytes, to - end.length, to, end)

/** What a stack in Go consists of: `main.run(0xc000…)`, and the registers of a crash. */
export function isGoLine(bytes: Uint8Array, from: number, to: number): boolean {
  const last = bytes[to - 1]
  if (last === 0x29) {
    for (let at = from; at < to && (bytes[at] as number) > SPACE; at++) if (bytes[at] === 0x28) return true
    return false
  }
  let at = from
  while (at < to && at < from + 7 && (isLetter(bytes[at] as number) || isDigit(bytes[at] as number))) at++
  const value = skipSpace(bytes, at, to)
  return value > at && byteAt(bytes, value, to) === 0x30 && byteAt(bytes, value + 1, to) === 0x78
}

/**
 * A sentence of its own rather than the rest of one: begins with a word that is not all capitals, has at least three
 * words, most of them letters only, and nothing of a table or an assignment.
 */
export function isSentence(bytes: Uint8Array, from: number, to: number): boolean {
  if (!isLetter(bytes[from] as number)) return false
  const last = bytes[to - 1] as number
  if (last === 0x7b || last === 0x28 || last === 0x5b || last === 0x2c || last === 0x3b) return false
  let words = 0
  let plain = 0
  let at = from
  const limit = Math.min(to, from + MAX_NAME_BYTES)
  while (at < limit) {
    const start = at
    let letters = 0
    let small = 0
    while (at < limit && (bytes[at] as number) > SPACE) {
      const byte = bytes[at] as number
      if (byte === 0x7c || byte === 0x3d) return false
      if (isLetter(byte)) letters++
      if (byte >= 0x61) small++
      at++
    }
    if (words === 0 && at - start > 1 && small === 0) return false
    words++
    if (letters === at - start || letters === at - start - 1) plain++
    at = skipSpace(bytes, at, limit)
  }
  return words >= 3 && plain * 2 > words
}
