// When to send, and what to do when that fails. The queue is the table itself: what has not been delivered is read from
// it anew for every attempt. So whatever the outage takes, the newest value of each series waits and nothing else,
// and a counter that arrives late lacks nothing.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { Table, UndeliveredRow } from '../../../processors/table.ts'
import type { Logger } from '../../../receivers/receiver.ts'
import { createBackoff } from './backoff.ts'
import type { Failure } from './outcome.ts'
import type { ExporterMetrics } from './own_metrics.ts'
import { type ExportRequest, requestsOf } from './requests.ts'
import type { Sender } from './sender.ts'
import { MAX_REQUEST_BYTES, type Settings } from './settings.ts'

export type ShippingParts = {
  readonly settings: Settings
  readonly table: Table
  readonly sender: Sender
  readonly metrics: ExporterMetrics
  readonly log: Logger
  /** Version of the instrumentation scopes. */
  readonly version: string
  /** The agent's own telemetry, as it is now. */
  own(): Promise<ResourceMetrics | undefined>
}

export interface Shipping {
  /** There is something to send. */
  wake(): void
  /** Points that wait, as far as an attempt has seen them. */
  readonly waiting: number
  /** Size of a point, serialised, on average. */
  readonly bytesPerPoint: number
  /** One last attempt, then gives up what is left. */
  stop(deadlineMs: number): Promise<void>
}

/** Measured with a few attributes; replaced by the real one with the first request. */
const BYTES_PER_POINT = 270
/** Our own telemetry goes along with the points; without any it goes by itself, for then it has something to tell. */
const OWN_INTERVAL_MS = 60_000

export function startShipping(parts: ShippingParts): Shipping {
  const { settings, table, sender, metrics, log } = parts
  const { sending_queue: queue, retry_on_failure: retry } = settings
  const backoff = createBackoff(retry)
  const stopping = new AbortController()
  const canRetry = retry.enabled && queue.enabled
  let waiting = 0
  let bytesPerPoint = BYTES_PER_POINT
  let failingSinceMs: number | undefined
  let saidRejected = false
  let bell = Promise.withResolvers<void>()

  async function run() {
    while (!stopping.signal.aborted) {
      await Promise.race([bell.promise, pause(OWN_INTERVAL_MS)])
      bell = Promise.withResolvers()
      await pause(queue.batch.flush_timeout)
      const failure = await attempt()
      if (failure === undefined || stopping.signal.aborted) continue
      const waitMs = backoff.next(failure.retryAfterMs)
      metrics.retried()
      sayRetry(failure, waitMs)
      await pause(waitMs)
      bell.resolve()
    }
  }

  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)

  // A defect of ours must not end the loop: whoever comes next may get through.
  async function attempt(): Promise<Failure | undefined> {
    try {
      return await ship()
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      return { message, remedy: 'report this', retryable: true, retryAfterMs: undefined, disconnected: false }
    }
  }

  /** Sends everything that is not delivered yet. The failure, when that has to be tried again. */
  async function ship(): Promise<Failure | undefined> {
    table.forget()
    await turn()
    const { generation } = table
    const rows = [...table.undelivered()]
    waiting = rows.length
    const failure = await sendAll(rows, generation)
    if (failure === undefined) {
      recovered()
      return undefined
    }
    failingSinceMs ??= performance.now()
    const most = retry.max_elapsed_time
    const isOver = most > 0 && performance.now() - failingSinceMs >= most
    if (canRetry && !isOver) return failure
    giveUp(failure, generation)
    return undefined
  }

  /** Several requests at a time, until one has to be tried again. */
  async function sendAll(rows: readonly UndeliveredRow[], generation: number): Promise<Failure | undefined> {
    const limits = { maxBytes: MAX_REQUEST_BYTES, maxPoints: queue.batch.max_size }
    const own = await parts.own()
    const requests = requestsOf(rows, own, limits, parts.version, (slots, points) => {
      table.deliver(slots, generation)
      metrics.failed(points)
      log.error('A point is larger than a request may be. Dropping data.', { dropped_items: points })
    })
    let failure: Failure | undefined
    let turns: Promise<void> = Promise.resolve()
    async function consume() {
      while (failure === undefined) {
        // Serialising a request takes milliseconds: one each turn, and others go first.
        turns = turns.then(() => turn())
        await turns
        const { value: request, done } = requests.next()
        if (done) return
        const failed = await sendOne(request, generation)
        if (failed !== undefined) failure = failed
      }
    }
    await Promise.all(Array.from({ length: queue.num_consumers }, consume))
    return failure
  }

  async function sendOne(request: ExportRequest, generation: number): Promise<Failure | undefined> {
    bytesPerPoint = request.bytes / request.points
    const { failure, rejected } = await sender.send(request)
    if (failure?.retryable) return failure
    table.deliver(request.slots, generation)
    waiting -= request.slots.length
    if (failure !== undefined) {
      metrics.failed(request.points)
      log.error('Exporting failed. Dropping data.', {
        error: failure.message,
        fix: failure.remedy,
        dropped_items: request.points,
      })
      return undefined
    }
    metrics.sent(request.points - (rejected?.points ?? 0))
    if (rejected !== undefined) {
      metrics.failed(rejected.points)
      if (!saidRejected) log.warn('The server refused a part', { error: rejected.why, dropped_items: rejected.points })
      saidRejected = true
    }
    return undefined
  }

  function recovered() {
    waiting = 0
    backoff.reset()
    if (failingSinceMs === undefined) return
    const seconds = Math.round((performance.now() - failingSinceMs) / 1000)
    log.info('Exporting works again', { after: `${seconds}s` })
    failingSinceMs = undefined
  }

  /** Once for each outage: it may take hours. */
  function sayRetry({ message, remedy }: Failure, waitMs: number) {
    const fields = { error: message, fix: remedy, interval: `${Math.round(waitMs / 100) / 10}s` }
    if (hasSaid === failingSinceMs) log.debug('Exporting failed. Will retry the request after interval.', fields)
    else log.error('Exporting failed. Will retry the request after interval.', fields)
    hasSaid = failingSinceMs
  }
  let hasSaid: number | undefined

  function giveUp({ message, remedy }: Failure, generation: number) {
    const left = [...table.undelivered()].map(({ slot }) => slot)
    table.deliver(left, generation)
    metrics.failed(waiting)
    log.error('Exporting failed. Dropping data.', { error: message, fix: remedy, dropped_items: waiting })
    waiting = 0
    backoff.reset()
    failingSinceMs = undefined
  }

  const running = run()
  return {
    wake: () => bell.resolve(),
    get waiting() {
      return waiting
    },
    get bytesPerPoint() {
      return bytesPerPoint
    },
    async stop(deadlineMs) {
      const endMs = performance.now() + deadlineMs
      stopping.abort()
      bell.resolve()
      await before(endMs, running)
      const failure = await before(endMs, attempt())
      if (failure !== undefined || waiting > 0) {
        const error = failure?.message ?? `not sent within ${Math.round(deadlineMs)} ms`
        log.error('Dropping data at the end', { error, dropped_items: waiting })
      }
      await before(endMs, sender.close())
    },
  }
}

/** Its result, or undefined when the time is over first. */
async function before<T>(endMs: number, promise: Promise<T>): Promise<T | undefined> {
  const leftMs = Math.max(0, endMs - performance.now())
  const timer = new AbortController()
  const over = sleep(leftMs, undefined, { signal: timer.signal }).catch(() => undefined)
  try {
    return await Promise.race([promise, over])
  } finally {
    timer.abort()
  }
}
