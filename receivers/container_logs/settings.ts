// Settings of container_logs, in the Collector's words (file_log, journald) where it has them.
import * as z from 'zod/mini'
import { duration } from '../schema.ts'

const UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** Bytes of `1048576`, `64KiB`, `1MiB`, `2GB` (of 1024, as the Collector has it); undefined when it is none of these. */
export function parseSize(written: unknown): number | undefined {
  if (typeof written === 'number') return Number.isSafeInteger(written) && written >= 0 ? written : undefined
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?$/i.exec(String(written)) ?? []
  const bytes = Number(amount) * (UNITS[unit.toUpperCase()] ?? Number.NaN)
  return Number.isFinite(bytes) ? Math.floor(bytes) : undefined
}

const size = (byDefault: string): z.ZodMiniType<number> =>
  z.pipe(
    z
      ._default(z.union([z.string(), z.number()]), byDefault)
      .check(z.refine((written) => parseSize(written) !== undefined, { error: 'expected a size such as 1MiB' })),
    z.transform((written: string | number) => parseSize(written) ?? 0),
  )

const isPattern = (text: string): boolean => {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}
const pattern = z.string().check(z.refine(isPattern, { error: 'expected a regular expression' }))

/** Without what the machine's own services keep there that is no text, or that is read as what it is. */
const VAR_LOG = '^/var/log/(?!journal/|pods/|containers/|[bw]tmp$|lastlog$)'

const choice = z.strictObject({
  /** docker, containerd, cri-o, podman, systemd … */
  runtimes: z._default(z.array(z.string()), []),
  /** Regular expressions on container_id, `/docker/web`, `/k8s/shop/.*`. */
  names: z._default(z.array(pattern), []),
  /** Label of the container → regular expression on its value. */
  labels: z._default(z.record(z.string(), pattern), {}),
  /** Annotation of the pod → regular expression on its value; of containerd's pods those that its `pod_annotations` list. */
  annotations: z._default(z.record(z.string(), pattern), {}),
})
export type Choice = z.infer<typeof choice>

const journald = z.strictObject({
  enabled: z._default(z.boolean(), true),
  /** A directory of journal files; '': the persistent and the volatile journal of the host. */
  directory: z._default(z.string(), ''),
})

export const settings = z.strictObject({
  /** Only containers that one of these describes; empty: all. */
  include: z._default(choice, () => choice.parse({})),
  /** Not those that one of these describes, even if they are included. */
  exclude: z._default(choice, () => choice.parse({})),
  /** Regular expressions on paths, as the container sees them, of files that its processes hold open for writing. */
  files: z._default(z.array(pattern), [VAR_LOG]),
  /** The systemd journal: units, the kernel, containers whose runtime writes into it. */
  journald: z._default(journald, () => journald.parse({})),
  /** Of logs that were there before the agent and that it does not know: `end` reads what comes, `beginning` all. */
  start_at: z._default(z.enum(['end', 'beginning']), 'end'),
  /** Longer lines are cut there. */
  max_log_size: size('1MiB'),
  /** Unread bytes of one log beyond which the oldest are left out, and counted. */
  max_lag_size: size('512MiB'),
  /** After that long without its end a line is taken as it is. */
  force_flush_period: z._default(duration(), 5000),
  /** A directory in which offsets are kept, so that a restarted agent goes on where it was. '': they are not kept. */
  storage: z._default(
    z.string().check(z.regex(/^(?:\/.*)?$/, { error: 'expected an absolute path, or nothing' })),
    '/var/lib/leadline',
  ),
})
export type Settings = z.infer<typeof settings>
