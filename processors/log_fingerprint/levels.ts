// How severe: the peer's six levels, and the words that programs use for them.
import { FNV_BASIS, FNV_PRIME, hashOf, isLetter } from './bytes.ts'

/** By number: the values of the label `level`. 0 is where nobody says. */
export const LEVELS = ['unknown', 'debug', 'info', 'warning', 'error', 'critical'] as const
export type Level = (typeof LEVELS)[number]

export const UNKNOWN = 0
export const DEBUG = 1
export const INFO = 2
export const WARNING = 3
export const ERROR = 4
export const CRITICAL = 5

const WORDS: Readonly<Record<number, string>> = {
  [DEBUG]: 'debug dbg trace trc verbose vrb debug1 debug2 debug3 debug4 debug5',
  [INFO]: 'info inf information informational notice success',
  [WARNING]: 'warn warning wrn',
  [ERROR]: 'error err severe',
  [CRITICAL]: 'critical crit fatal ftl emerg emergency dpanic',
}
/** Also common words of sentences: they count in a frame, before a colon, or in capitals. */
const WEAK_WORDS: Readonly<Record<number, string>> = {
  [DEBUG]: 'dbug debu trce trac finest finer fine config',
  [INFO]: 'note log system default',
  [ERROR]: 'fail failure erro',
  [CRITICAL]: 'alert panic fata pani assert',
}

const WEAK = 8
const SLOTS = 256
const hashes = new Int32Array(SLOTS)
const levels = new Uint8Array(SLOTS)
for (const [level, words] of Object.entries(WORDS)) for (const word of words.split(' ')) put(word, Number(level))
for (const [level, words] of Object.entries(WEAK_WORDS)) {
  for (const word of words.split(' ')) put(word, Number(level) | WEAK)
}

function put(word: string, level: number) {
  const hash = hashOf(word)
  let slot = hash & (SLOTS - 1)
  while (levels[slot] !== 0) slot = (slot + 1) & (SLOTS - 1)
  hashes[slot] = hash
  levels[slot] = level
}

function lookUp(hash: number): number {
  for (let slot = hash & (SLOTS - 1); levels[slot] !== 0; slot = (slot + 1) & (SLOTS - 1)) {
    if (hashes[slot] === hash) return levels[slot] as number
  }
  return 0
}

/** One bit per possible first letter and length, so that nearly every other word is turned away without hashing. */
const possible = new Uint32Array(16)
for (const words of [WORDS, WEAK_WORDS]) {
  for (const word of Object.values(words).join(' ').split(' ')) {
    possible[word.length] = (possible[word.length] ?? 0) | (1 << (word.charCodeAt(0) - 97))
  }
}
const LONGEST = 13

/** How a level word is written. */
export const CAPITALS = 16
export const TITLE = 32
export const SMALL = 64

/**
 * Level, case, and WEAK_WORD of a word, as one number; 0 when it is no level word.
 * Mixed case (`eRROR`) is none.
 */
export function levelWord(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from
  if (length < 3 || length > LONGEST) return 0
  const first = bytes[from] as number
  const letter = (first | 32) - 97
  if (letter < 0 || letter > 25 || ((possible[length] as number) & (1 << letter)) === 0) return 0
  let hash = FNV_BASIS
  let capitals = 0
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    if (byte >= 65 && byte <= 90) capitals++
    hash = Math.imul(hash ^ (byte >= 65 && byte <= 90 ? byte | 32 : byte), FNV_PRIME)
  }
  const found = lookUp(hash)
  if (found === 0) return 0
  const digits = isLetter(bytes[to - 1] as number) ? 0 : 1
  if (capitals === length - digits) return found | CAPITALS
  if (capitals === 0) return found | SMALL
  return capitals === 1 && first < 97 ? found | TITLE : 0
}

export const levelOf = (word: number) => word & 7
export const isWeak = (word: number) => (word & WEAK) !== 0

/** Any spelling, as a field's value says it. */
export function levelNamed(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from
  if (length === 1) return levelLetter(bytes[from] as number)
  if (length === 2 && isLetter(bytes[from] as number)) return levelLetter(bytes[from] as number) === DEBUG ? DEBUG : 0
  if (length > LONGEST) return UNKNOWN
  let hash = FNV_BASIS
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number
    hash = Math.imul(hash ^ (byte >= 65 && byte <= 90 ? byte | 32 : byte), FNV_PRIME)
  }
  return lookUp(hash) & 7
}

/** V D I N W E C F A, as klog, Android, MongoDB and others abbreviate. */
export function levelLetter(byte: number): number {
  switch (byte & ~32) {
    case 0x44: // D
    case 0x54: // T
    case 0x56: // V
      return DEBUG
    case 0x49: // I
    case 0x4e: // N
      return INFO
    case 0x57: // W
      return WARNING
    case 0x45: // E
      return ERROR
    case 0x43: // C
    case 0x46: // F
    case 0x41: // A
      return CRITICAL
    default:
      return UNKNOWN
  }
}

/** Of syslog's severities, RFC 5424 §6.2.1: 0 emergency to 7 debug. */
export const levelOfSeverity = (severity: number) =>
  severity <= 2
    ? CRITICAL
    : severity === 3
      ? ERROR
      : severity === 4
        ? WARNING
        : severity <= 6
          ? INFO
          : severity === 7
            ? DEBUG
            : UNKNOWN

/** Of a number in a JSON record: syslog's up to 7, else pino's and bunyan's 10 (trace) to 60 (fatal). */
export function levelOfNumber(value: number): number {
  if (!Number.isInteger(value) || value < 0) return UNKNOWN
  if (value <= 7) return levelOfSeverity(value)
  if (value < 10 || value > 100) return UNKNOWN
  return value < 30 ? DEBUG : value < 40 ? INFO : value < 50 ? WARNING : value < 60 ? ERROR : CRITICAL
}
