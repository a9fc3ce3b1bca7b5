// From a receiver's batch to the exporters, through each pipeline the receiver is in.
import type { Batch, RunningProcessor } from '../../processors/processor.ts'
import type { LogSink } from '../../receivers/logs.ts'
import type { Logger } from '../../receivers/receiver.ts'
import type { Exporter } from '../exporter.ts'
import type { OwnMetrics } from './own_metrics.ts'

export type RunningPipeline = {
  readonly id: string
  readonly receivers: readonly string[]
  readonly processors: readonly { readonly id: string; readonly running: RunningProcessor }[]
  readonly exporters: readonly { readonly id: string; readonly running: Exporter }[]
}

/** The function that hands on the batches of one receiver. */
export function deliverTo(receiver: string, pipelines: readonly RunningPipeline[], own: OwnMetrics, log: Logger) {
  const mine = pipelines.filter(({ receivers }) => receivers.includes(receiver))
  const failing = new Set<string>()

  /** Says a component's first failure, and when it is over. */
  function attempt(pipeline: RunningPipeline, id: string, step: () => void): boolean {
    const key = `${pipeline.id} ${id}`
    try {
      step()
      if (failing.delete(key)) log.info('The pipeline works again', { pipeline: pipeline.id, component: id })
      return true
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      if (!failing.has(key)) log.error('The pipeline failed', { pipeline: pipeline.id, component: id, error: text })
      failing.add(key)
      return false
    }
  }

  function pass(pipeline: RunningPipeline, given: Batch): boolean {
    let batch = given
    for (const { id, running } of pipeline.processors) {
      const isDone = attempt(pipeline, id, () => {
        batch = running.process(batch)
      })
      if (!isDone) return false
    }
    // One exporter's failure is not the others'.
    return pipeline.exporters
      .map(({ id, running }) => attempt(pipeline, id, () => running.consume(batch)))
      .every(Boolean)
  }

  return (batch: Batch): void => {
    const { length } = batch.points
    for (const [at, pipeline] of mine.entries()) {
      // Processors change points, so each pipeline but the last gets its own.
      const isLast = at === mine.length - 1
      const given = isLast ? batch : { ...batch, points: batch.points.map((point) => ({ ...point })) }
      const isTaken = pass(pipeline, given)
      ;(isTaken ? own.accepted : own.refused).add(length, { receiver, transport: 'kernel' })
    }
  }
}

/** What containers wrote goes to every processor that reads it, each instance once. Who fails says so once. */
export function deliverLogsTo(receiver: string, pipelines: readonly RunningPipeline[], log: Logger): LogSink {
  const readers = pipelines
    .filter(({ receivers }) => receivers.includes(receiver))
    .flatMap(({ id: pipeline, processors }) =>
      processors.flatMap(({ id, running }) => (running.consumeLogs ? [{ pipeline, id, running }] : [])),
    )
  const failing = new Set<object>()

  return (chunks) => {
    for (const { pipeline, id, running } of readers) {
      try {
        running.consumeLogs?.(receiver, chunks)
      } catch (error) {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
        if (!failing.has(running)) log.error('Logs could not be read', { pipeline, component: id, error: text })
        failing.add(running)
      }
    }
  }
}
