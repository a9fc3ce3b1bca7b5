// The receiver's measurements of itself: how many logs it follows, and what happened to them.
import type { Meter } from '@opentelemetry/api'
import type { Counts } from './counts.ts'
import type { JournalCounts } from './journal.ts'

export type State = {
  readonly followed: number
  readonly counts: Counts
  readonly journal: JournalCounts
  readonly errors: number
  /** Of the event loop, in the last minute or two, in milliseconds of CPU. */
  readonly longestTurnMs: number
  /** Logs that are not followed because there are too many. */
  readonly refused: number
  readonly damagedCheckpoints: number
}

export function startTelemetry(meter: Meter, receiver: string, state: () => State): () => void {
  const attributes = { receiver }
  const followed = meter.createObservableGauge('otelcol_receiver_log_files', {
    description: 'Logs that are followed.',
  })
  const events = meter.createObservableCounter('otelcol_receiver_log_events', {
    description:
      'What happened to logs: rotations, truncations, gaps (the place could not be found again), damaged records or checkpoints, journal entries whose writer nobody knows, lines whose end did not come, errors, logs refused because there are too many.',
  })
  const cut = meter.createObservableCounter('otelcol_receiver_log_cut', {
    unit: 'By',
    description: 'Bytes of lines beyond max_log_size.',
  })
  const longestTurn = meter.createObservableGauge('otelcol_receiver_log_longest_turn', {
    unit: 's',
    description: 'CPU time of the longest turn that logs took in the event loop, in the last minute or two.',
  })
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    const { followed: logs, counts, journal, errors, refused, damagedCheckpoints, longestTurnMs } = state()
    result.observe(followed, logs, attributes)
    result.observe(cut, counts.cutBytes + journal.cutBytes, attributes)
    result.observe(longestTurn, longestTurnMs / 1000, attributes)
    const happened = {
      rotation: counts.rotations,
      truncation: counts.truncations,
      gap: counts.gaps,
      damaged_record: counts.damagedRecords,
      damaged_checkpoint: damagedCheckpoints,
      unknown_writer: journal.unknownWriters,
      unfinished_line: journal.unfinishedLines,
      error: errors,
      refused,
    }
    for (const [event, times] of Object.entries(happened)) result.observe(events, times, { ...attributes, event })
  }
  const observed = [followed, events, cut, longestTurn]
  meter.addBatchObservableCallback(observe, observed)
  return () => meter.removeBatchObservableCallback(observe, observed)
}
