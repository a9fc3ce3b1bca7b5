// The systemd journal: what units write, what the kernel says, and containers whose runtime writes into it.
import { openJournal } from '../../native/index.ts'
import type { Cgroup, Host } from '../host/host.ts'
import type { LogChunk, LogSink, LogStream, LogSubject } from '../logs.ts'
import type { Logger } from '../receiver.ts'
import type { Checkpoints } from './checkpoints.ts'
import { STDOUT_STDERR } from './docker_logs.ts'
import { holdLines } from './formats/held.ts'
import { decodeEntries, type Entry, FIELDS, type JournalReader, type JournalStart } from './journal_entries.ts'
import { startJournalctl } from './journalctl.ts'
import { append, createDecoded, type Decoded, endLine, type Lines, NEWLINE } from './lines.ts'
import type { Selected } from './selection.ts'
import type { Totals } from './totals.ts'

type Options = {
  readonly host: Host
  readonly log: Logger
  readonly sink: LogSink
  readonly totals: Totals
  readonly counts: JournalCounts
  readonly checkpoints: Checkpoints | undefined
  readonly directory: string
  readonly startAt: 'beginning' | 'end'
  readonly maxLineBytes: number
  readonly select: (cgroup: Cgroup) => Selected
  readonly failed: (error: Error) => void
}

export type JournalCounts = {
  /** Entries of a cgroup that is gone, or of none. */
  unknownWriters: number
  /** Lines that were begun and not ended: they were taken as they were. */
  unfinishedLines: number
  cutBytes: number
}

export const noJournalCounts = (): JournalCounts => ({ unknownWriters: 0, unfinishedLines: 0, cutBytes: 0 })

const EVERY_MS = 250
/** About two milliseconds' worth. */
const AT_ONCE = 500
const AT_ONCE_BYTES = 1 << 20
/** Docker's priorities tell the output, not how grave a line is. */
const STDERR_PRIORITY = 3
const LONGEST_PIECE_MS = 10_000
const MOST_WRITERS = 10_000

type Writer = { readonly streams: Record<'stdout' | 'stderr', LogStream>; readonly isContainer: boolean }
type Batch = Map<Writer, Decoded>
type Pieces = { readonly holder: ReturnType<typeof holdLines>; readonly writer: Writer; lastMs: number }

/** Returns what ends it. */
export function readJournal(options: Options): () => void {
  const { host, log, checkpoints, directory, startAt, maxLineBytes, counts, failed } = options
  const key = `journal/${directory}`
  const writers = new Map<LogSubject, Map<string, Writer>>()
  /** By container, of lines that have not ended. */
  const held = new Map<string, Pieces>()
  let stopped = false
  let timer: NodeJS.Timeout | undefined

  function open(): JournalReader {
    const start = checkpoints?.read(key)?.cursor ?? (startAt === 'end' ? 'tail' : 'head')
    const root = (host.proc ?? '/proc').slice(0, -'/proc'.length)
    const from: JournalStart = { start, ...(directory ? { directory } : root ? { root } : {}) }
    try {
      return byLibrary(from)
    } catch (error) {
      // Also where there is no addon.
      if ((error as { syscall?: string }).syscall?.startsWith('sd_journal') === true) throw error
      log.info('the journal is read by journalctl', { because: (error as Error).message })
      return startJournalctl(from, failed)
    }
  }

  function subjectOf({ transport, container, cgroup, unit }: Entry): LogSubject | undefined {
    if (transport === 'kernel') return host.node
    if (container !== '') return host.logs?.cgroupOf(container)
    return (
      (cgroup === '' ? undefined : host.logs?.cgroupAt(cgroup)) ??
      (unit === '' ? undefined : host.logs?.cgroupAt(`/system.slice/${unit}`))
    )
  }

  function writerOf(subject: LogSubject, isContainer: boolean): Writer {
    const source = isContainer ? STDOUT_STDERR : 'journald'
    const known = writers.get(subject)?.get(source)
    if (known !== undefined) return known
    if (writers.size > MOST_WRITERS) writers.clear()
    const stream = (output: 'stdout' | 'stderr'): LogStream => ({ subject, source, ...(isContainer && { output }) })
    const made = { streams: { stdout: stream('stdout'), stderr: stream('stderr') }, isContainer }
    writers.set(subject, (writers.get(subject) ?? new Map()).set(source, made))
    return made
  }

  function sort(entries: Iterable<Entry>): Batch {
    const batch: Batch = new Map()
    for (const entry of entries) {
      const subject = subjectOf(entry)
      if (subject === undefined) {
        counts.unknownWriters++
        continue
      }
      if (subject.kind === 'cgroup' && options.select(subject) === 'no') continue
      const writer = writerOf(subject, entry.container !== '')
      const lines = linesOf(batch, writer)
      if (writer.isContainer) addPiece(entry, writer, lines)
      else counts.cutBytes += addMessage(entry, lines.stdout, maxLineBytes)
    }
    return batch
  }

  function linesOf(batch: Batch, writer: Writer): Decoded {
    const lines = batch.get(writer) ?? createDecoded()
    batch.set(writer, lines)
    return lines
  }

  function addPiece(entry: Entry, writer: Writer, lines: Decoded): void {
    const { container, message, partial, priority, writtenMs } = entry
    const pieces = held.get(container) ?? { holder: holdLines(maxLineBytes), writer, lastMs: 0 }
    if (partial) {
      held.set(container, pieces)
      pieces.lastMs = Date.now()
    }
    const output = priority === STDERR_PRIORITY ? 'stderr' : 'stdout'
    pieces.holder.add(
      output,
      { bytes: message, start: 0, end: message.length, last: !partial, writtenMs, at: 0 },
      lines,
    )
    if (pieces.holder.heldFrom() === undefined) held.delete(container)
  }

  /** Whoever began a line and does not end it has ended itself: what there is of it is a line. */
  function takeUnfinished(): void {
    const batch: Batch = new Map()
    for (const [container, { holder, writer, lastMs }] of held) {
      if (Date.now() - lastMs < LONGEST_PIECE_MS) continue
      const lines = linesOf(batch, writer)
      holder.flush(lines)
      counts.unfinishedLines += lines.stdout.count + lines.stderr.count
      held.delete(container)
    }
    if (batch.size > 0) handOn(batch)
  }

  function handOn(batch: Batch): void {
    const chunks: LogChunk[] = []
    for (const [{ streams, isContainer }, lines] of batch) {
      counts.cutBytes += lines.cutBytes
      const { subject, source } = streams.stdout
      const total = options.totals.of(subject, source)
      for (const output of ['stdout', 'stderr'] as const) {
        const { bytes, length, count, writtenMs, severities } = lines[output]
        if (count === 0) continue
        chunks.push({
          stream: streams[output],
          bytes: bytes.subarray(0, length),
          writtenMs: writtenMs.subarray(0, count),
          ...(!isContainer && { severities: severities.subarray(0, count) }),
        })
        total.readBytes += length
        total.lines[isContainer ? output : ''] += count
      }
    }
    if (chunks.length > 0) options.sink(chunks)
  }

  function read(journal: JournalReader): void {
    let count = 0
    try {
      const { entries, cursor, ...told } = journal.read(AT_ONCE)
      count = told.count
      takeUnfinished()
      if (count > 0) {
        handOn(sort(entries))
        if (held.size === 0) checkpoints?.write(key, { files: [], modifiedMs: Date.now(), cursor })
      }
    } catch (error) {
      failed(error as Error)
    }
    if (stopped) return
    // More is there, most likely: the others have their turn between.
    if (count === AT_ONCE) setImmediate(() => stopped || read(journal))
    else timer = setTimeout(() => read(journal), EVERY_MS).unref()
  }

  try {
    const journal = open()
    timer = setTimeout(() => read(journal), EVERY_MS).unref()
    return () => {
      stopped = true
      clearTimeout(timer)
      journal.close()
    }
  } catch (error) {
    log.warn('the journal is not read', {
      error: (error as Error).message,
      fix: 'apt-get install libsystemd0, or set journald::enabled to false',
    })
    return () => {}
  }
}

/** Throws what libsystemd says, or that it cannot be loaded. */
function byLibrary(start: JournalStart): JournalReader {
  const journal = openJournal({ fields: FIELDS, ...start })
  return {
    read(most) {
      const { entries, ...told } = journal.read(most, AT_ONCE_BYTES)
      return { ...told, entries: decodeEntries(entries) }
    },
    close: () => journal.close(),
  }
}

/** A message may be of several lines. Answers how many bytes it cut. */
function addMessage({ message, priority, writtenMs }: Entry, lines: Lines, maxLineBytes: number): number {
  let cutBytes = 0
  for (let start = 0; start <= message.length; ) {
    const newline = message.indexOf(NEWLINE, start)
    const end = newline === -1 ? message.length : newline
    append(lines, message, start, Math.min(end, start + maxLineBytes))
    cutBytes += Math.max(0, end - start - maxLineBytes)
    endLine(lines, writtenMs, priority)
    start = end + 1
    if (start === message.length) break // it ended with a newline
  }
  return cutBytes
}
