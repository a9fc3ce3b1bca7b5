// What a timestamp means. Only for who wants to know when; counting messages needs no clock.
import { isDigit } from './bytes.ts'

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ')
const LONGEST = 40

const FRACTION = /:\d\d[.,](\d+)/d

// Lines come in bursts: most have the second of the one above.
const last = new Uint8Array(LONGEST)
let lastLength = 0
let lastMs = Number.NaN
/** Where in it the parts of a second stand, which mean nothing here. */
let fractionFrom = 0
let fractionTo = 0

/**
 * Milliseconds since the epoch, to the second; NaN where the text says it in a way that is not known.
 * Without a zone it is taken for this machine's, without a year for the one that is nearest before now.
 */
export function timeMs(bytes: Buffer, from: number, to: number): number {
  const length = Math.min(to - from, LONGEST)
  if (length === lastLength && isLast(bytes, from, length)) return lastMs
  const text = bytes.toString('latin1', from, from + length)
  const [start = 0, end = 0] = FRACTION.exec(text)?.indices?.[1] ?? []
  lastMs = parse(end > start ? text.slice(0, start - 1) + text.slice(end) : text)
  lastLength = length
  fractionFrom = start
  fractionTo = end
  last.set(bytes.subarray(from, from + length))
  return lastMs
}

function isLast(bytes: Buffer, from: number, length: number): boolean {
  for (let i = 0; i < length; i++) {
    const byte = bytes[from + i] as number
    if (byte !== last[i] && !(i >= fractionFrom && i < fractionTo && isDigit(byte))) return false
  }
  return true
}

function parse(text: string): number {
  if (/^1\d{9}(\.\d+)?$/.test(text)) return Math.floor(Number(text)) * 1000
  if (/^1\d{12}$/.test(text)) return Number(text)
  if (/^1\d{15}$/.test(text)) return Number(text) / 1000
  if (/^1\d{18}$/.test(text)) return Number(text) / 1e6
  // Not the end of a year: `02/May/2024:11:20:31`.
  const clock = /(?<!\d)(\d{1,2}):(\d\d):(\d\d)/.exec(text)
  if (clock === null) return Number.NaN
  const rest = text.slice(clock.index + clock[0].length)
  const day = dayOf(text.slice(0, clock.index), /(?:^|\s)(\d{4})$/.exec(rest)?.[1])
  if (day === undefined) return Number.NaN
  const time = [Number(clock[1]), Number(clock[2]), Number(clock[3])] as const
  const zone = /(Z)|([+-])(\d\d):?(\d\d)$/.exec(rest)
  if (zone === null) return new Date(day[0], day[1], day[2], ...time).getTime()
  const utc = Date.UTC(day[0], day[1], day[2], ...time)
  if (zone[1] !== undefined) return utc
  const minutes = Number(zone[3]) * 60 + Number(zone[4])
  return utc + (zone[2] === '-' ? minutes : -minutes) * 60_000
}

type Day = readonly [year: number, month: number, day: number]

/** `yearBehind` is the year where it stands behind the clock: `Sun Dec 04 04:47:44 2005`. */
function dayOf(text: string, yearBehind: string | undefined): Day | undefined {
  const iso = /(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)/.exec(text)
  if (iso) return [Number(iso[1]), Number(iso[2]) - 1, Number(iso[3])]
  // 02.05.2024 begins with the day; so does 23/05/2024, but 05/23/2024 does not.
  const numbers = /(\d{1,2})([./])(\d{1,2})\2(\d{4})/.exec(text)
  if (numbers) {
    const [one, two] = [Number(numbers[1]), Number(numbers[3])]
    const isDayFirst = numbers[2] === '.' || one > 12
    return dayIn(Number(numbers[4]), isDayFirst ? two : one, isDayFirst ? one : two)
  }
  const named = /(\d{1,2})[-/ ]([a-z]{3})[a-z]*[-/ ](\d{4})/i.exec(text)
  if (named) return dated(Number(named[3]), named[2], Number(named[1]))
  const american = /([a-z]{3})[a-z]* {1,2}(\d{1,2})(?:,? (\d{4}))?/i.exec(text)
  if (american) {
    const year = american[3] ?? yearBehind
    return dated(year === undefined ? undefined : Number(year), american[1], Number(american[2]))
  }
  const short = /^(\d\d)[/-]?(\d\d)[/-]?(\d\d)\b/.exec(text)
  if (short) return [2000 + Number(short[1]), Number(short[2]) - 1, Number(short[3])]
  const klog = /[A-Z]?(\d\d)[-.]?(\d\d) ?$/.exec(text)
  return klog ? dayIn(undefined, Number(klog[1]), Number(klog[2])) : undefined
}

function dayIn(year: number | undefined, month: number, day: number): Day | undefined {
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined
  return year === undefined ? nearest(month - 1, day) : [year, month - 1, day]
}

function dated(year: number | undefined, name: string | undefined, day: number): Day | undefined {
  const month = MONTHS.indexOf(String(name).toLowerCase())
  if (month < 0) return undefined
  return year === undefined ? nearest(month, day) : [year, month, day]
}

function nearest(month: number, day: number): Day {
  const now = new Date()
  const isAhead = new Date(now.getFullYear(), month, day).getTime() > now.getTime() + 86_400_000
  return [now.getFullYear() - (isAhead ? 1 : 0), month, day]
}
