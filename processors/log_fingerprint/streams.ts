// What is known of each container's logs: a reader per stream, counts per source, and room for patterns that they share.
import type { LogChunk, LogStream } from '../../receivers/logs.ts'
import type { Attributes, Subject } from '../../receivers/receiver.ts'
import {
  contentTemplate,
  createPatterns,
  createReader,
  createRoom,
  LEVELS,
  type Message,
  type Patterns,
  type Reader,
  type Room,
} from './engine.ts'
import { bytesForSample, labelText, sampleOf } from './sample.ts'

export type Settings = {
  readonly minLevel: number
  readonly maxPatterns: number
  readonly maxPatternsTotal: number
  readonly sample: 'redacted' | 'raw' | 'off'
  readonly maxSampleBytes: number
  readonly hasTemplate: boolean
}

/** Sources of one container that are kept apart; those past it share one. */
const MAX_SOURCES = 64
const OTHER_SOURCES = 'other'
export const OVERFLOW_SAMPLE = 'unclassified pattern (pattern limit reached)'

/** Counts since the start. */
export type Counted = { lines: number; bytes: number; messages: number; overflow: number }

type Source = {
  readonly name: string
  readonly patterns: Patterns
  readonly attributes: (Attributes | undefined)[]
  readonly readers: Map<string, { reader: Reader; stream: LogStream; readMs: number }>
}

type Container = { subject: Subject; readonly room: Room; readonly sources: Map<string, Source> }

export type Series = { readonly subject: Subject; readonly attributes: Attributes; readonly count: number }

export function createStreams(settings: Settings, counted: Counted) {
  const total = { used: 0, max: settings.maxPatternsTotal }
  const containers = new Map<number | 'node', Container>()

  function containerOf(subject: Subject): Container {
    const key = subject.kind === 'cgroup' ? subject.id : 'node'
    let container = containers.get(key)
    // The kernel gives an id again when its cgroup is gone.
    if (container !== undefined && container.subject.bornMs !== subject.bornMs) {
      close(container)
      container = undefined
    }
    if (container === undefined) {
      const room = createRoom(settings.maxPatterns, total)
      container = { subject, room, sources: new Map() }
      containers.set(key, container)
    }
    container.subject = subject
    return container
  }

  function sourceOf(container: Container, stream: LogStream): Source {
    const name =
      container.sources.has(stream.source) || container.sources.size < MAX_SOURCES ? stream.source : OTHER_SOURCES
    let source = container.sources.get(name)
    if (source === undefined) {
      source = { name, patterns: createPatterns(container.room), attributes: [], readers: new Map() }
      container.sources.set(name, source)
    }
    return source
  }

  function readerOf(source: Source, stream: LogStream, nowMs: number): Reader {
    const key = `${stream.output ?? ''} ${source.name === OTHER_SOURCES ? '' : stream.source}`
    let known = source.readers.get(key)
    if (known === undefined) {
      known = { reader: readerInto(source), stream, readMs: nowMs }
      source.readers.set(key, known)
    }
    // The same file, found anew: what was open in the old one is over.
    if (known.stream !== stream) known.reader.flush()
    known.stream = stream
    known.readMs = nowMs
    return known.reader
  }

  function readerInto(source: Source): Reader {
    let pattern = ''
    let isWanted = false
    const reader = createReader({
      keepBytes: settings.sample === 'off' ? 0 : bytesForSample(settings.maxSampleBytes),
      onMessage(message) {
        counted.messages++
        const { patterns } = source
        if (message.level < settings.minLevel) {
          patterns.addUnnamed(message.level)
          return
        }
        const { end } = patterns
        const entry = patterns.add(message.high, message.low, message.level)
        if (patterns.isOverflow(entry)) counted.overflow++
        if (entry >= end) source.attributes[entry] = describe(source, entry, message, isWanted ? pattern : undefined)
      },
      ...(settings.hasTemplate && {
        onText() {
          isWanted = true
          pattern = contentTemplate()
        },
      }),
    })
    return reader
  }

  function describe(source: Source, entry: number, message: Message | undefined, pattern?: string): Attributes {
    const { patterns } = source
    const level = LEVELS[patterns.levelOf(entry)] ?? 'unknown'
    const isRaw = settings.sample === 'raw'
    let sample = patterns.isOverflow(entry) ? OVERFLOW_SAMPLE : ''
    if (message !== undefined && settings.sample !== 'off') sample = sampleOf(message, settings.maxSampleBytes, isRaw)
    const attributes = { source: source.name, level, pattern_hash: patterns.hashOf(entry), sample }
    if (pattern === undefined) return Object.freeze(attributes)
    return Object.freeze({ ...attributes, pattern: labelText(pattern, settings.maxSampleBytes, isRaw) })
  }

  function close(container: Container) {
    for (const source of container.sources.values()) source.patterns.close()
  }

  function* seriesOf(container: Container): Iterable<Series> {
    for (const source of container.sources.values()) {
      const { patterns, attributes } = source
      for (let entry = 0; entry < patterns.end; entry++) {
        const count = patterns.countOf(entry)
        if (count === 0) continue
        const described = attributes[entry] ?? describe(source, entry, undefined)
        attributes[entry] = described
        yield { subject: container.subject, attributes: described, count }
      }
    }
  }

  return {
    read(chunk: LogChunk, nowMs: number) {
      const source = sourceOf(containerOf(chunk.stream.subject), chunk.stream)
      const reader = readerOf(source, chunk.stream, nowMs)
      counted.bytes += chunk.bytes.length
      counted.lines += reader.read(chunk.bytes, chunk.severities, chunk.writtenMs)
    },
    /** Ends what has been silent since then. */
    flush(silentSinceMs: number) {
      for (const { sources } of containers.values()) {
        for (const { readers } of sources.values()) {
          for (const { reader, readMs } of readers.values()) if (readMs <= silentSinceMs) reader.flush()
        }
      }
    },
    /** Everything counted so far. */
    *series(): Iterable<Series> {
      for (const container of containers.values()) yield* seriesOf(container)
    },
    /** Drops containers that ended before then. */
    forget(endedBeforeMs: number) {
      for (const [key, container] of containers) {
        const { endedMs } = container.subject
        if (endedMs === undefined || endedMs > endedBeforeMs) continue
        close(container)
        containers.delete(key)
      }
    },
    /** Patterns that are held. */
    get patterns() {
      return total.used
    },
  }
}
