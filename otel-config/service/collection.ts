// Collects one receiver: never twice at once, no longer than it may take, and what it cannot read costs nobody else.
import type { Batch, Point } from '../../processors/processor.ts'
import type { Attributes, Logger, Metric, Output, RunningReceiver } from '../../receivers/receiver.ts'
import type { ReceiverConfig } from '../config/config.ts'
import { Late, within } from './deadline.ts'
import type { Outcome, OwnMetrics } from './own_metrics.ts'

export interface Collection {
  readonly id: string
  /** When the last one began, in milliseconds of the monotonic clock; -Infinity before the first. */
  readonly beganMs: number
  readonly isUnderWay: boolean
  /** Why the last one failed; undefined when it did not. */
  readonly failure: Error | undefined
  /**
   * Collects now, or joins the collection under way. Resolves when the batch has been delivered, or has failed, with
   * the reason. Never rejects.
   */
  collect(): Promise<Error | undefined>
}

export type CollectionOptions = {
  readonly id: string
  readonly receiver: RunningReceiver
  readonly config: ReceiverConfig
  readonly log: Logger
  readonly own: OwnMetrics
  /** Makes the knowledge of the host current. */
  refresh(): Promise<void>
  /** Quick, and never throws. */
  deliver(batch: Batch): void
}

const NO_ATTRIBUTES: Attributes = Object.freeze({})

export function createCollection({ id, receiver, config, log, own, refresh, deliver }: CollectionOptions): Collection {
  const labels = { receiver: id }
  const scraper = { receiver: id, scraper: config.definition.name }
  const metrics = wantedMetrics(config)
  let beganMs = Number.NEGATIVE_INFINITY
  let failure: Error | undefined
  let isPartial = false
  let underWay: Promise<Error | undefined> | undefined
  // A collection that ran out of time goes on until it ends by itself.
  let isBusy = false

  async function run(): Promise<Error | undefined> {
    const startMs = performance.now()
    beganMs = startMs
    isBusy = true
    const points: Point[] = []
    const errors: Error[] = []
    let isOpen = true
    let unknown = 0
    function wanted(name: string): Metric | undefined {
      const metric = isOpen ? metrics.get(name) : null
      if (metric === undefined) unknown++
      return metric ?? undefined
    }
    const out: Output = {
      record(subject, name, value, attributes = NO_ATTRIBUTES) {
        const metric = wanted(name)
        if (metric) points.push({ subject, name, metric, value, attributes, resource: undefined })
      },
      distribution(subject, name, sum, given, attributes = NO_ATTRIBUTES) {
        const metric = wanted(name)
        if (metric === undefined) return
        const counts = Float64Array.from(given)
        points.push({ subject, name, metric, value: sum, counts, attributes, resource: undefined })
      },
      failed(error) {
        if (isOpen) errors.push(error)
      },
    }
    let collectedMs = Date.now()
    const work = (async () => {
      await refresh()
      collectedMs = Date.now()
      await receiver.collect(out)
    })().finally(() => {
      isBusy = false
    })
    try {
      await within(config.settings.timeout, work, `took longer than ${config.settings.timeout} ms`)
      isOpen = false
      if (unknown > 0) errors.push(new Error(`${unknown} points of metrics that the receiver does not declare`))
      own.scraped.add(points.length, scraper)
      deliver({ receiver: id, points, collectedMs })
      say(undefined, errors)
    } catch (error) {
      isOpen = false
      // Its end, whenever that is, interests nobody any more.
      work.catch(() => {})
      errors.push(error instanceof Error ? error : new Error(String(error)))
      say(errors.at(-1), errors)
    }
    own.errored.add(errors.length, scraper)
    own.duration.record((performance.now() - startMs) / 1000, labels)
    return failure
  }

  /** Into the log only when it changed: a receiver that fails every 15 s says so once. */
  function say(error: Error | undefined, errors: readonly Error[]) {
    const outcome: Outcome =
      error !== undefined ? (error instanceof Late ? 'timeout' : 'failure') : errors.length > 0 ? 'partial' : 'success'
    own.collections.add(1, { ...labels, outcome })
    if (error !== undefined && failure === undefined) log.error('Error scraping metrics', { error: error.message })
    if (outcome === 'partial' && !isPartial) {
      log.warn('Could not read everything', { error: errors[0]?.message, errors: errors.length })
    }
    if (outcome === 'success' && (failure !== undefined || isPartial)) log.info('Scraping works again')
    failure = error
    isPartial = outcome === 'partial'
  }

  return {
    id,
    get beganMs() {
      return beganMs
    },
    get isUnderWay() {
      return isBusy
    },
    get failure() {
      return failure
    },
    collect() {
      if (underWay !== undefined) return underWay
      if (isBusy) return Promise.resolve(new Error('the collection before has not ended yet'))
      underWay = run().finally(() => {
        underWay = undefined
      })
      return underWay
    },
  }
}

/** By name; null for those that are switched off. */
function wantedMetrics({ definition, settings }: ReceiverConfig) {
  return new Map(
    Object.entries(definition.metrics).map(([name, metric]) => {
      const isWanted = settings.metrics[name]?.enabled ?? metric.enabled ?? true
      return [name, isWanted ? metric : null]
    }),
  )
}
