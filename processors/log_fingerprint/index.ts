// Turns what containers write into numbers: messages by source, level and pattern.
import * as z from 'zod/mini'
import type { Metric } from '../../receivers/receiver.ts'
import { duration } from '../../receivers/schema.ts'
import { defineProcessor, type Point } from '../processor.ts'
import { LEVELS } from './engine.ts'
import { type Counted, createStreams } from './streams.ts'

const count = (least: number, most: number) => z.int().check(z.gte(least), z.lte(most))

const config = z.strictObject({
  /** Messages below this level are counted, but get no pattern. The order is unknown, debug, info, warning, error, critical. */
  min_level: z._default(z.enum(LEVELS), 'unknown'),
  /** Patterns of one level in one container. What exceeds them is counted in one series whose pattern_hash is all zeros. */
  max_patterns: z._default(count(0, 100_000), 256),
  /** Patterns of all containers. */
  max_patterns_total: z._default(count(0, 1_000_000), 20_000),
  /** What the label `sample` shows of the first message of a pattern: redacted (no tokens, passwords, addresses …), raw, or off. */
  sample: z._default(z.enum(['redacted', 'raw', 'off']), 'redacted'),
  /** Longest sample, in bytes of UTF-8. */
  max_sample_bytes: z._default(count(16, 4096), 1024),
  /** Adds the label `pattern`: the message with `<*>` for all that varies. */
  pattern: z._default(z.boolean(), false),
  /** How long a stream has to be silent until its last message is taken for complete. */
  flush_after: z._default(duration().check(z.gte(0)), 1000),
})

const messages: Metric = {
  kind: 'counter',
  unit: '{message}',
  description: 'Messages that the container logged, by level and pattern.',
  attributes: ['source', 'level', 'pattern_hash', 'sample', 'pattern'],
}
export const MESSAGES = 'container.log.messages'

/** As long as series of what ended are told. */
const FORGET_AFTER_MS = 300_000

export default defineProcessor<z.infer<typeof config>>({
  name: 'log_fingerprint',
  summary: 'Counts log messages by level and pattern. Stands before container_attribution, which names its series.',
  stability: 'alpha',
  config,
  metrics: { [MESSAGES]: messages },

  start(settings, { meter, id }) {
    const own = ownMetrics(meter, id)
    const byReceiver = new Map<string, { counted: Counted; streams: ReturnType<typeof createStreams> }>()

    function of(receiver: string) {
      let known = byReceiver.get(receiver)
      if (known === undefined) {
        const counted: Counted = { lines: 0, bytes: 0, messages: 0, overflow: 0 }
        const streams = createStreams(
          {
            minLevel: LEVELS.indexOf(settings.min_level),
            maxPatterns: settings.max_patterns,
            maxPatternsTotal: settings.max_patterns_total,
            sample: settings.sample,
            maxSampleBytes: settings.max_sample_bytes,
            hasTemplate: settings.pattern,
          },
          counted,
        )
        known = { counted, streams }
        byReceiver.set(receiver, known)
      }
      return known
    }

    return {
      consumeLogs(receiver, chunks) {
        const { counted, streams } = of(receiver)
        const before = { ...counted }
        const nowMs = Date.now()
        for (const chunk of chunks) streams.read(chunk, nowMs)
        own.add(receiver, before, counted)
      },
      process(batch) {
        const known = byReceiver.get(batch.receiver)
        if (known === undefined) return batch
        const { counted, streams } = known
        const before = { ...counted }
        const nowMs = Date.now()
        streams.flush(nowMs - settings.flush_after)
        own.add(batch.receiver, before, counted)
        own.patterns(batch.receiver, streams.patterns)
        const points: Point[] = [...batch.points]
        for (const { subject, attributes, count } of streams.series()) {
          points.push({ subject, name: MESSAGES, metric: messages, value: count, attributes, resource: undefined })
        }
        streams.forget(nowMs - FORGET_AFTER_MS)
        return { ...batch, points }
      },
    }
  },
})

type Meter = Parameters<ReturnType<typeof defineProcessor>['start']>[1]['meter']

function ownMetrics(meter: Meter, processor: string) {
  const name = (what: string) => `otelcol_processor_log_fingerprint_${what}`
  const counter = (what: string, description: string, unit: string) =>
    meter.createCounter(name(what), { description, unit })
  const lines = counter('lines', 'Lines that were read.', '{line}')
  const bytes = counter('bytes', 'What was read.', 'By')
  const told = counter('messages', 'Messages that they made.', '{message}')
  const overflow = counter('overflow_messages', 'Messages past the limit of patterns.', '{message}')
  const patterns = meter.createGauge(name('patterns'), { description: 'Patterns that are held.', unit: '{pattern}' })
  return {
    add(receiver: string, before: Counted, after: Counted) {
      const labels = { processor, receiver }
      if (after.lines > before.lines) lines.add(after.lines - before.lines, labels)
      if (after.bytes > before.bytes) bytes.add(after.bytes - before.bytes, labels)
      if (after.messages > before.messages) told.add(after.messages - before.messages, labels)
      if (after.overflow > before.overflow) overflow.add(after.overflow - before.overflow, labels)
    },
    patterns(receiver: string, held: number) {
      patterns.record(held, { processor, receiver })
    },
  }
}
