// What a timestamp means. Only for who wants to know when; counting messages needs no clock.

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ')
const LONGEST = 40

let lastText = ''
let lastMs = Number.NaN

/**
 * Milliseconds since the epoch, to the second; NaN where the text says it in a way that is not known.
 * Without a zone it is taken for this machine's, without a year for the one that is nearest before now.
 */
export function timeMs(bytes: Buffer, from: number, to: number): number {
  const text = bytes.toString('latin1', from, Math.min(to, from + LONGEST))
  // Lines come in bursts: most have the second of the one above.
  const second = text.length > 19 && !/^\d+$/.test(text) ? text.replace(/[.,]\d+/, '') : text
  if (second === lastText) return lastMs
  lastText = second
  lastMs = parse(second)
  return lastMs
}

function parse(text: string): number {
  if (/^1\d{9}(\.\d+)?$/.test(text)) return Math.floor(Number(text)) * 1000
  if (/^1\d{12}$/.test(text)) return Number(text)
  if (/^1\d{15}$/.test(text)) return Number(text) / 1000
  if (/^1\d{18}$/.test(text)) return Number(text) / 1e6
  const clock = /(\d{1,2}):(\d\d):(\d\d)/.exec(text)
  if (clock === null) return Number.NaN
  const day = dayOf(text.slice(0, clock.index))
  if (day === undefined) return Number.NaN
  const time = [Number(clock[1]), Number(clock[2]), Number(clock[3])] as const
  const zone = /(Z)|([+-])(\d\d):?(\d\d)$/.exec(text.slice(clock.index + clock[0].length))
  if (zone === null) return new Date(day[0], day[1], day[2], ...time).getTime()
  const utc = Date.UTC(day[0], day[1], day[2], ...time)
  if (zone[1] !== undefined) return utc
  const minutes = Number(zone[3]) * 60 + Number(zone[4])
  return utc + (zone[2] === '-' ? minutes : -minutes) * 60_000
}

type Day = readonly [year: number, month: number, day: number]

function dayOf(text: string): Day | undefined {
  const iso = /(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)/.exec(text)
  if (iso) return [Number(iso[1]), Number(iso[2]) - 1, Number(iso[3])]
  const named = /(\d{1,2})[-/ ]([a-z]{3})[a-z]*[-/ ](\d{4})/i.exec(text)
  if (named) return dated(Number(named[3]), named[2], Number(named[1]))
  const american = /([a-z]{3})[a-z]* {1,2}(\d{1,2})(?:,? (\d{4}))?/i.exec(text)
  if (american)
    return dated(american[3] === undefined ? undefined : Number(american[3]), american[1], Number(american[2]))
  const short = /^(\d\d)[/-]?(\d\d)[/-]?(\d\d)\b/.exec(text)
  if (short) return [2000 + Number(short[1]), Number(short[2]) - 1, Number(short[3])]
  const klog = /[A-Z]?(\d\d)[-.]?(\d\d) ?$/.exec(text)
  return klog ? nearest(Number(klog[1]) - 1, Number(klog[2])) : undefined
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
