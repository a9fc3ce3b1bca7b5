// Schemas that receivers, processors and exporters share: the Collector's spellings of common types.
import * as z from 'zod/mini'
import { parseDuration } from './duration.ts'

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
