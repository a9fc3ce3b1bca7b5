// Schemas that receivers, processors and exporters share: the Collector's spellings of common types.
import * as z from 'zod/mini'

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

/** What a timer of Node can wait. It turns longer ones into a millisecond, which is the opposite of what was meant. */
const LONGEST_MS = 2 ** 31 - 1

/** A Go duration in the file, milliseconds in the code. A bare 0 is one too, as in Go. */
export const duration = (): z.ZodMiniType<number> =>
  z.pipe(
    z.transform((written: unknown) => (written === 0 ? '0' : written)),
    z.pipe(
      z
        .string({ error: 'expected a duration such as 10s' })
        .check(
          z.refine((text) => parseDuration(text) !== undefined, {
            error: (issue) => `expected a duration such as 10s, got ${JSON.stringify(issue.input)}`,
          }),
          z.refine((text) => Math.abs(parseDuration(text) ?? 0) <= LONGEST_MS, {
            error: (issue) => `expected a duration of at most 596h, got ${JSON.stringify(issue.input)}`,
          }),
        )
        .register(z.globalRegistry, { description: 'a duration such as 10s or 1m30s' }),
      z.transform((text: string) => parseDuration(text) ?? 0),
    ),
  )

/** Text that nobody should read over a shoulder: a token, a private key. Printed as `[REDACTED]`. */
export const secret = (): z.ZodMiniType<string> => z.string().register(z.globalRegistry, { writeOnly: true })

export const isSecret = (schema: z.ZodMiniType): boolean => z.globalRegistry.get(schema)?.writeOnly === true
