// Decodes entries of the journal as the addon packs them (native/index.ts, JournalEntries).
import { NO_SEVERITY } from './lines.ts'

/** In this order; what they mean: systemd.journal-fields(7), and of CONTAINER_* Docker's journald driver. */
export const FIELDS = [
  'MESSAGE',
  'PRIORITY',
  '_TRANSPORT',
  '_SYSTEMD_CGROUP',
  '_SYSTEMD_UNIT',
  'CONTAINER_ID_FULL',
  'CONTAINER_PARTIAL_MESSAGE',
] as const

export type Entry = {
  readonly message: Buffer
  /** syslog's 0 to 7, or NO_SEVERITY. */
  readonly priority: number
  readonly transport: string
  readonly cgroup: string
  readonly unit: string
  readonly container: string
  /** Whether the line goes on in a later entry. */
  readonly partial: boolean
  readonly writtenMs: number
}

/** Where reading begins, as the addon takes it (native/index.ts, JournalOptions). */
export type JournalStart = { readonly directory?: string; readonly root?: string; readonly start: string }

/** The addon's journal or a child's. */
export type JournalReader = {
  /** What has come since the last call, at most `most`; `cursor` is the last one's. Never waits. */
  read(most: number): { readonly entries: Iterable<Entry>; readonly count: number; readonly cursor: string }
  close(): void
}

const ABSENT = 0xffffffff

export const priorityOf = (text: string): number => (/^[0-7]$/.test(text) ? Number(text) : NO_SEVERITY)

/** Bytes stay those of `packed`. Throws a RangeError for what is cut short. */
export function* decodeEntries(packed: Buffer): Generator<Entry> {
  for (let at = 0; at < packed.length; ) {
    const writtenMs = Number(packed.readBigUInt64LE(at)) / 1000
    at += 8
    const values: (Buffer | undefined)[] = []
    for (let i = 0; i < FIELDS.length; i++) {
      const length = packed.readUInt32LE(at)
      at += 4
      if (length === ABSENT) {
        values.push(undefined)
        continue
      }
      if (at + length > packed.length) throw new RangeError('an entry of the journal is cut short')
      values.push(packed.subarray(at, at + length))
      at += length
    }
    const text = (i: number) => values[i]?.toString('utf8') ?? ''
    yield {
      message: values[0] ?? Buffer.alloc(0),
      priority: priorityOf(text(1)),
      transport: text(2),
      cgroup: text(3),
      unit: text(4),
      container: text(5),
      partial: text(6) === 'true',
      writtenMs,
    }
  }
}
