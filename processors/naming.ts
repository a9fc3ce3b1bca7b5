// The official OTel → Prometheus translation of metric names (UnderscoreEscapingWithSuffixes, the default everywhere),
// because the SDK's serializer adds only `_total`, and the same series must have one name whichever way it goes.
// Source: OpenTelemetry specification, compatibility/prometheus_and_openmetrics.md, and prometheus/otlptranslator.
import type { MetricKind } from '../receivers/receiver.ts'

/** Of the part before the first `/`. */
const UNITS: ReadonlyMap<string, string> = new Map([
  ['d', 'days'],
  ['h', 'hours'],
  ['min', 'minutes'],
  ['s', 'seconds'],
  ['ms', 'milliseconds'],
  ['us', 'microseconds'],
  ['ns', 'nanoseconds'],
  ['By', 'bytes'],
  ['KiBy', 'kibibytes'],
  ['MiBy', 'mebibytes'],
  ['GiBy', 'gibibytes'],
  ['TiBy', 'tibibytes'],
  ['KBy', 'kilobytes'],
  ['MBy', 'megabytes'],
  ['GBy', 'gigabytes'],
  ['TBy', 'terabytes'],
  ['m', 'meters'],
  ['V', 'volts'],
  ['A', 'amperes'],
  ['J', 'joules'],
  ['W', 'watts'],
  ['g', 'grams'],
  ['Cel', 'celsius'],
  ['Hz', 'hertz'],
  ['%', 'percent'],
  ['1', ''],
])

/** Of the part after it. */
const PER_UNITS: ReadonlyMap<string, string> = new Map([
  ['s', 'second'],
  ['m', 'minute'],
  ['h', 'hour'],
  ['d', 'day'],
  ['w', 'week'],
  ['mo', 'month'],
  ['y', 'year'],
])

/**
 * The Prometheus name of an OTel metric. Annotations in the unit vanish; a unit that is already a word of the name is
 * not said again; `total` ends the names of counters and is found nowhere else in them.
 */
export function promName(name: string, unit: string, kind: MetricKind): string {
  let words = wordsOf(name)
  for (const word of unitWords(unit)) if (!words.includes(word)) words.push(word)
  if (kind === 'counter') words = [...words.filter((word) => word !== 'total'), 'total']
  if (kind === 'gauge' && unit === '1') words = [...words.filter((word) => word !== 'ratio'), 'ratio']
  const joined = words.join('_')
  return /^[0-9]/.test(joined) ? `_${joined}` : joined
}

const wordsOf = (text: string) => text.split(/[^a-zA-Z0-9:]+/).filter((word) => word !== '')

/** `By/s` is `bytes` and `per_second`. The library compares each as one word with those of the name, so we do too. */
function unitWords(unit: string): string[] {
  const slash = unit.indexOf('/')
  const main = slash < 0 ? unit : unit.slice(0, slash)
  const per = slash < 0 ? '' : unit.slice(slash + 1)
  const words = [unitWord(main, UNITS)]
  const perWord = unitWord(per, PER_UNITS)
  if (perWord !== '') words.push(`per_${perWord}`)
  return words.filter((word) => word !== '')
}

function unitWord(part: string, known: ReadonlyMap<string, string>): string {
  const unit = part.trim()
  if (/[{}]/.test(unit)) return ''
  return known.get(unit) ?? wordsOf(unit).join('_')
}
