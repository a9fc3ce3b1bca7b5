// One log of one container: who writes it, whether it is wanted, and the way of its lines to the processors.
import type { LogChunk, LogSink, LogStream, LogSubject } from '../logs.ts'
import type { ChainOptions } from './chain.ts'
import type { Checkpoints, Saved, Writer } from './checkpoints.ts'
import type { Counts } from './counts.ts'
import { type Follower, follow, type Limits } from './follow.ts'
import type { Format } from './formats/format.ts'
import type { Decoded, Lines } from './lines.ts'
import type { Readable } from './rounds.ts'
import type { Selected } from './selection.ts'
import type { Start } from './start.ts'
import type { Total, Totals } from './totals.ts'

/** A log as its source found it. */
export type FoundLog = {
  /** The same after a restart of the agent. */
  readonly key: string
  readonly path: string
  readonly format: Format
  /** Where it is one of those that are found again when their container is gone. */
  readonly formatName?: string
  /** As LogStream has it. */
  readonly source: string
  /** Whether stdout and stderr are kept apart. */
  readonly outputs: boolean
  /** Who writes it now; undefined while that is not known. */
  subject(): LogSubject | undefined
  /** Asked when it is opened for the first time. */
  start(subject: LogSubject): Start
  /** Frees what the source holds for it. */
  close?(): void
}

export type LogContext = {
  readonly sink: LogSink
  readonly checkpoints: Checkpoints | undefined
  readonly chain: ChainOptions
  readonly limits: Limits
  readonly totals: Totals
  readonly select: (subject: LogSubject) => Selected
  readonly failed: (error: Error) => void
}

export type Log = Readable & {
  readonly key: string
  readonly counts: Counts | undefined
  close(): void
}

/** How long we wait for a writer to become known: then nobody will read it. */
const UNKNOWN_MS = 30_000
/** A log is young until its file is there, but no longer than that. */
const YOUNG_MS = 5000

type Streams = {
  readonly subject: LogSubject
  readonly stdout: LogStream
  readonly stderr: LogStream
  readonly total: Total
}

export function createLog(found: FoundLog, context: LogContext): Log {
  const { key, source, format, outputs } = found
  const addedMs = Date.now()
  let wanted = false
  let refused = false
  let streams: Streams | undefined
  let follower: Follower | undefined
  let skipped = 0
  let lag = 0
  let lastSaved: Saved | undefined
  /** The same object for as long as it says the same. */
  let writer: Writer | undefined

  function streamsOf(subject: LogSubject): Streams {
    const stdout: LogStream = { subject, source, ...(outputs && { output: 'stdout' as const }) }
    const stderr: LogStream = { subject, source, ...(outputs && { output: 'stderr' as const }) }
    return { subject, stdout, stderr, total: context.totals.of(subject, source) }
  }

  function open(subject: LogSubject): Follower {
    return follow({
      path: found.path,
      format,
      chain: context.chain,
      limits: context.limits,
      start: found.start(subject),
      saved: context.checkpoints?.read(key),
      deliver,
      save,
      failed: context.failed,
    })
  }

  function save(saved: Saved): void {
    lastSaved = saved
    context.checkpoints?.write(key, writer === undefined ? saved : { ...saved, writer })
  }

  function writerOf(subject: LogSubject, ended: boolean): Writer | undefined {
    if (found.formatName === undefined || subject.kind !== 'cgroup') return undefined
    const { id, path, bornMs } = subject
    return { path: found.path, format: found.formatName, cgroup: { id, path, bornMs }, ended }
  }

  function deliver({ stdout, stderr }: Decoded): void {
    if (streams === undefined) return
    const chunks: LogChunk[] = []
    if (stdout.count > 0) chunks.push(chunkOf(streams.stdout, stdout))
    if (stderr.count > 0) chunks.push(chunkOf(streams.stderr, stderr))
    context.sink(chunks)
    const { total } = streams
    total.readBytes += stdout.length + stderr.length
    total.lines[outputs ? 'stdout' : ''] += stdout.count
    total.lines.stderr += stderr.count
  }

  function chunkOf(stream: LogStream, { bytes, length, count, writtenMs }: Lines): LogChunk {
    const chunk = { stream, bytes: bytes.subarray(0, length) }
    return format.timed ? { ...chunk, writtenMs: writtenMs.subarray(0, count) } : chunk
  }

  /** What a log has unread and left out, added to what its container has. */
  function account(): void {
    if (streams === undefined || follower === undefined) return
    const { total } = streams
    const { lagBytes } = follower
    total.lagBytes += lagBytes - lag
    lag = lagBytes
    total.skippedBytes += follower.counts.skippedBytes - skipped
    skipped = follower.counts.skippedBytes
  }

  function turnTo(subject: LogSubject): void {
    if (streams !== undefined) streams.total.lagBytes -= lag
    lag = 0
    streams = streamsOf(subject)
    writer = writerOf(subject, false)
  }

  return {
    key,
    poll(nowMs) {
      const subject = found.subject()
      if (subject === undefined) {
        if (streams === undefined && nowMs - addedMs > UNKNOWN_MS) refused = true
        return false
      }
      if (!wanted) {
        const selected = context.select(subject)
        if (selected === 'no') refused = true
        if (selected !== 'yes') return false
        wanted = true
      }
      if (streams?.subject !== subject) turnTo(subject)
      follower ??= open(subject)
      follower.finish(subject.endedMs !== undefined)
      const hasNews = follower.poll(nowMs)
      account()
      return hasNews
    },
    watch: (wake) => follower?.watch(wake),
    readShare() {
      const more = follower?.readShare() ?? false
      if (!more) account()
      return more
    },
    get finished() {
      return refused || (follower?.finished ?? false)
    },
    get young() {
      if (follower?.settling) return true
      return !(follower?.begun ?? false) && Date.now() - addedMs < YOUNG_MS
    },
    get counts() {
      return follower?.counts
    },
    close() {
      if (follower?.finished && lastSaved !== undefined && streams !== undefined) {
        writer = writerOf(streams.subject, true)
        save(lastSaved)
      }
      if (streams !== undefined) streams.total.lagBytes -= lag
      lag = 0
      follower?.close()
      found.close?.()
    },
  }
}
