// The last numbers of a cgroup may come before its runtime has said whose it was. A receiver need not repeat them,
// so they wait here: a container that lived fifty milliseconds is counted like any other.
import { isCumulative } from '../../receivers/receiver.ts'
import type { Batch, Point } from '../processor.ts'

/** How long after its end a cgroup's numbers wait for a name. */
const WAIT_MS = 300_000

export type LastWords = {
  /** Points of ended subjects that were held back from this receiver before, and that this batch does not repeat. */
  take(batch: Batch): Point[]
  /** Keeps a point, if its subject has ended. */
  hold(batch: Batch, point: Point): void
}

export function createLastWords(): LastWords {
  const held = new Map<string, Point[]>()

  return {
    take(batch) {
      const waiting = held.get(batch.receiver)
      if (waiting === undefined) return []
      held.delete(batch.receiver)
      const repeated = new Set(batch.points.map((point) => point.subject))
      return waiting.filter(({ subject }) => {
        const { endedMs } = subject
        return !repeated.has(subject) && endedMs !== undefined && batch.collectedMs - endedMs <= WAIT_MS
      })
    },
    hold(batch, point) {
      if (point.subject.endedMs === undefined || !isCumulative(point.metric.kind)) return
      const waiting = held.get(batch.receiver)
      if (waiting === undefined) held.set(batch.receiver, [point])
      else waiting.push(point)
    },
  }
}
