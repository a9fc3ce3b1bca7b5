// Lines of one program begin alike, digits aside. What was found in front of one holds for the next, so it need not
// be read again. Only a shortcut: it answers where reading would come to the same, and nowhere else.
import { isDigit, isLetter, SPACE } from './bytes.ts'

/** Enough for the levels that a program writes by turns. */
const KEPT = 4
const LONGEST = 96
const ZERO = 0x30
const NINE = 0x39

/** What a beginning means. Offsets are from the start of the line. */
export type Beginning = {
  length: number
  /** Between which two each byte has to lie. */
  readonly lowest: Uint8Array
  readonly highest: Uint8Array
  timeFrom: number
  timeTo: number
  isSyslog: boolean
  /** 0 where it ends with the time; what follows has to be read. */
  level: number
}

const beginnings: Beginning[] = Array.from({ length: KEPT }, () => ({
  length: 0,
  lowest: new Uint8Array(LONGEST),
  highest: new Uint8Array(LONGEST),
  timeFrom: 0,
  timeTo: 0,
  isSyslog: false,
  level: 0,
}))
let newest = 0
let latest = 0
/** Where lines begin too differently, looking costs more than it saves: then only now and then. */
const MANY_MISSES = 32
const PAUSE_LINES = 64
let misses = 0
let pause = 0

/** The known beginning of this line, if there is one. */
export function recall(bytes: Uint8Array, from: number, to: number): Beginning | undefined {
  if (pause > 0) {
    pause--
    return undefined
  }
  let at = latest
  for (let i = 0; i < KEPT; i++) {
    const known = beginnings[at] as Beginning
    if (known.length > 0 && from + known.length + 1 < to && matches(known, bytes, from)) {
      latest = at
      misses = 0
      return known
    }
    at = (at + 1) & (KEPT - 1)
  }
  // Still, a few tries after each pause.
  if (++misses >= MANY_MISSES) {
    misses = MANY_MISSES - 4
    pause = PAUSE_LINES
  }
  return undefined
}

function matches(known: Beginning, bytes: Uint8Array, from: number): boolean {
  const { length, level } = known
  if (bytes[from + length] !== SPACE || (level === 0 && !isSmall(bytes[from + length + 1] as number))) return false
  const { lowest, highest } = known
  for (let i = 0; i < length; i++) {
    const byte = bytes[from + i] as number
    if (byte < (lowest[i] as number) || byte > (highest[i] as number)) return false
  }
  return true
}

/** After this every line's beginning is read in full until it comes again. */
export function forgetBeginnings() {
  for (const known of beginnings) known.length = 0
  misses = pause = 0
}

const isSmall = (byte: number) => byte >= 0x61 && byte <= 0x7a

/**
 * Keeps a beginning that ends at `end`: with the level, or, where `level` is 0, with the time. A space follows, and
 * after a time a small letter, so that reading looked no further.
 */
export function remember(
  bytes: Uint8Array,
  from: number,
  end: number,
  to: number,
  what: Omit<Beginning, 'length' | 'lowest' | 'highest'>,
) {
  if (pause > 0) return
  const length = end - from
  if (length > LONGEST || end + 1 >= to || bytes[end] !== SPACE) return
  if (what.level === 0 && !isSmall(bytes[end + 1] as number)) return
  const into = beginnings[newest] as Beginning
  latest = newest
  newest = (newest + 1) & (KEPT - 1)
  into.length = length
  into.timeFrom = what.timeFrom
  into.timeTo = what.timeTo
  into.isSyslog = what.isSyslog
  into.level = what.level
  const isCalendar = !isDigit(bytes[from] as number) && !isDigit(bytes[from + 1] as number)
  for (let i = 0; i < length; ) {
    let run = i
    while (run < length && isDigit(bytes[from + run] as number)) run++
    if (run === i) into.lowest[i] = into.highest[i] = bytes[from + i++] as number
    const digits = run - i
    // `debug5` is a level, `debug6` is none.
    const isOfWord = digits === 1 && what.level !== 0 && i > 0 && isLetter(bytes[from + i - 1] as number)
    const fixed = isOfWord ? 1 : fixedDigits(digits, isCalendar, bytes[from + run] as number)
    for (const first = i; i < run; i++) {
      const byte = bytes[from + i] as number
      const limit = digits === 6 ? clockLimit(i - first) : NINE
      const isFixed = byte > limit || i < first + fixed
      into.lowest[i] = isFixed ? byte : ZERO
      into.highest[i] = isFixed ? byte : limit
    }
  }
}

/** How many digits in front say what a number is: a century, or seconds since 1970. */
function fixedDigits(digits: number, isCalendar: boolean, next: number): number {
  if (digits === 4) return isCalendar || next === 0x2d || next === 0x2e || next === 0x2f ? 2 : 0
  return digits >= 8 ? 2 : 0
}

/** Six digits may be hours, minutes and seconds, whose first digits have their limits. */
const clockLimit = (at: number) => (at === 0 ? 0x32 : at === 2 ? 0x35 : at === 4 ? 0x36 : NINE)
