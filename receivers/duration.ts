// Durations as Go writes them, in files and on command lines. By itself, so that a command needs no schemas for it.

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/**
 * Milliseconds of a Go duration (`1m30s`, `1.5h`, `-500ms`, `0`); undefined when it is not one.
 * Grammar: Go's time.ParseDuration, as the Collector uses it.
 */
export function parseDuration(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0
  const whole = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|[\u00b5\u03bc]s|ms|s|m|h))+)$/.exec(text)
  if (!whole) return undefined
  let ms = 0
  for (const [, amount, unit] of (whole[2] ?? '').matchAll(/(\d+\.?\d*|\.\d+)(ns|us|[\u00b5\u03bc]s|ms|s|m|h)/g)) {
    ms += Number(amount) * (UNITS_MS[unit ?? ''] ?? Number.NaN)
  }
  return whole[1] === '-' ? -ms : ms
}
