// Starts what a configuration describes and stops it again, in the Collector's order: own telemetry, extensions,
// exporters, processors, receivers; stop in reverse. If a start fails, what was started is stopped.
import type { Meter } from '@opentelemetry/api'
import type { MetricReader } from '@opentelemetry/sdk-metrics'
import type { Host } from '../../receivers/host/host.ts'
import type { Logger, RunningReceiver } from '../../receivers/receiver.ts'
import type { Config } from '../config/config.ts'
import type { TelemetrySettings } from '../config/schema.ts'
import type { Exporter } from '../exporter.ts'
import type { RootLogger } from '../logger.ts'
import { startClock } from './clock.ts'
import { type Collection, createCollection } from './collection.ts'
import { within } from './deadline.ts'
import { type OwnMetrics, ownMetrics } from './own_metrics.ts'
import { deliverTo, type RunningPipeline } from './pipelines.ts'
import { observeProcess } from './process_metrics.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { createStops } from './stops.ts'

/** How long a refresh waits for the answers of runtimes before receivers are collected anyway. */
const REFRESH_MS = 500
const START_MS = 10_000

export type Telemetry = {
  meter(scope: string): Meter
  stop(deadlineMs: number): Promise<void>
}

/** What a service takes from outside. */
export type Surroundings = {
  readonly log: RootLogger
  /** With the settings of the extension `host`; undefined when it is not configured. */
  startHost(settings: unknown, log: Logger): Promise<Host>
  createTelemetry(readers: readonly MetricReader[], settings: TelemetrySettings, host: Host): Telemetry
}

export interface Service {
  /** Ids of the receivers that run. */
  readonly receivers: readonly string[]
  /** Addresses that people can look at. */
  readonly urls: readonly string[]
  /**
   * Collects a last time, hands everything on and frees it, within about `deadlineMs`. False when something failed.
   * `forReload`: another service follows on the same host, and receivers may leave it what should go on.
   */
  stop(deadlineMs: number, forReload?: boolean): Promise<boolean>
}

/** Throws, with everything stopped again, when an exporter or a processor cannot start or no receiver can. */
export async function startService(config: Config, surroundings: Surroundings): Promise<Service> {
  const { log } = surroundings
  const stops = createStops(log)
  try {
    return await start(config, surroundings, stops)
  } catch (error) {
    await stops.run(5_000)
    throw error
  }
}

async function start(
  config: Config,
  { log, startHost, createTelemetry }: Surroundings,
  stops: ReturnType<typeof createStops>,
): Promise<Service> {
  const hostId = config.service.extensions.find((id) => config.extensions.get(id)?.definition.name === 'host')
  const hostLog = logOf(log, 'extension', hostId ?? 'host')
  const host = await startHost(hostId && config.extensions.get(hostId)?.own, hostLog)
  stops.add('extension host', () => host.stop())

  const feeds = Promise.withResolvers<ReadonlyMap<string, readonly Collection[]>>()
  // Whoever asks meanwhile waits; nobody may.
  feeds.promise.catch(() => {})
  stops.add('start', () => feeds.reject(new Error('the agent is stopping')))
  const exporters = createExporters(config, host, log, async (id, maxAgeMs) => {
    await collectFor((await feeds.promise).get(id) ?? [], maxAgeMs)
  })
  const readers = Array.from(exporters.values()).flatMap(({ readers = [] }) => readers)
  const telemetry = createTelemetry(readers, config.service.telemetry, host)
  stops.add('telemetry', (deadlineMs) => telemetry.stop(deadlineMs))
  const own = ownMetrics(telemetry.meter('leadline/service'))
  observeProcess(telemetry.meter('leadline/service'))

  for (const [id, exporter] of exporters) {
    stops.add(`exporter ${id}`, (deadlineMs) => exporter.stop(deadlineMs))
    await started('exporter', id, async () => exporter.start(telemetry.meter(`leadline/exporters/${id}`)))
  }
  const pipelines = await startPipelines(config, { host, log, telemetry, exporters, stops })
  const receivers = await startReceivers(config, { host, log, telemetry, own, stops, pipelines })

  const collections = collectionsOf(config, { host, log, own, receivers, pipelines })
  feeds.resolve(feedsOf(pipelines, collections))
  const stopClock = startCollecting(config, collections, own)
  stops.add('clock', stopClock)

  return {
    receivers: collections.map(({ id }) => id),
    urls: Array.from(exporters.values()).flatMap((exporter) => exporter.url?.() ?? []),
    async stop(deadlineMs, forReload) {
      const endMs = performance.now() + deadlineMs
      stopClock()
      await collectLast(collections, Math.min(2_000, deadlineMs / 4))
      return stops.run(endMs - performance.now(), forReload)
    },
  }
}

export const logOf = (log: RootLogger, kind: string, id: string) =>
  log.with({ 'otelcol.component.id': id, 'otelcol.component.kind': kind })

/** Runs a start and puts the Collector's words before its error. */
async function started<T>(kind: string, id: string, step: () => Promise<T>): Promise<T> {
  try {
    return await within(START_MS, step(), `did not start within ${START_MS / 1000} s`)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`cannot start pipelines: failed to start "${id}" ${kind}: ${reason}`, { cause })
  }
}

const usedIn = (config: Config, kind: 'receivers' | 'processors' | 'exporters') =>
  new Set(Array.from(config.service.pipelines.values(), (pipeline) => pipeline[kind]).flat())

function createExporters(
  config: Config,
  host: Host,
  log: RootLogger,
  collect: (id: string, maxAgeMs: number) => Promise<void>,
): Map<string, Exporter> {
  const exporters = new Map<string, Exporter>()
  for (const id of usedIn(config, 'exporters')) {
    const exporter = config.exporters.get(id)
    if (exporter === undefined) continue
    const context = { host, id, log: logOf(log, 'exporter', id), collect: (maxAgeMs: number) => collect(id, maxAgeMs) }
    exporters.set(id, exporter.definition.create(exporter.own, context))
  }
  return exporters
}

type Parts = {
  readonly host: Host
  readonly log: RootLogger
  readonly telemetry: Telemetry
  readonly exporters: ReadonlyMap<string, Exporter>
  readonly stops: ReturnType<typeof createStops>
}

/** A processor is one instance per pipeline. */
async function startPipelines(config: Config, parts: Parts): Promise<RunningPipeline[]> {
  const { host, telemetry, exporters, stops } = parts
  const pipelines: RunningPipeline[] = []
  for (const [id, pipeline] of config.service.pipelines) {
    const processors: RunningPipeline['processors'][number][] = []
    for (const name of pipeline.processors) {
      const processor = config.processors.get(name)
      if (processor === undefined) continue
      const log = parts.log.with({
        'otelcol.component.id': name,
        'otelcol.component.kind': 'processor',
        'otelcol.pipeline.id': id,
      })
      const meter = telemetry.meter(`leadline/processors/${name}`)
      const running = await started('processor', name, async () =>
        processor.definition.start(processor.own, { host, log, meter, id: name }),
      )
      stops.add(`processor ${name} of ${id}`, async () => running.stop?.())
      processors.push({ id: name, running })
    }
    const outlets = pipeline.exporters.flatMap((name) => {
      const running = exporters.get(name)
      return running === undefined ? [] : [{ id: name, running }]
    })
    pipelines.push({ id, receivers: pipeline.receivers, processors, exporters: outlets })
  }
  return pipelines
}

function collectionsOf(
  config: Config,
  parts: {
    readonly host: Host
    readonly log: RootLogger
    readonly own: OwnMetrics
    readonly receivers: Receivers
    readonly pipelines: readonly RunningPipeline[]
  },
): Collection[] {
  const { host, log, own, receivers, pipelines } = parts
  const refresh = sharedRefresh(host, log)
  return Array.from(receivers, ([id, receiver]: [string, RunningReceiver]) => {
    const receiverConfig = config.receivers.get(id)
    if (receiverConfig === undefined) throw new Error(`receiver ${id} has no configuration`)
    const receiverLog = logOf(log, 'receiver', id)
    const deliver = deliverTo(id, pipelines, own, receiverLog)
    return createCollection({ id, receiver, config: receiverConfig, log: receiverLog, own, refresh, deliver })
  })
}

/** Receivers that are collected together share one look at the machine. */
function sharedRefresh(host: Host, log: Logger): () => Promise<void> {
  let underWay: Promise<void> | undefined
  let isFailing = false
  async function refresh() {
    try {
      await within(REFRESH_MS * 4, host.refresh(REFRESH_MS), 'the machine could not be looked at in time')
      isFailing = false
    } catch (error) {
      // What is known may be old now, which is better than nothing.
      if (!isFailing) log.error('Cannot refresh what is known of the machine', { error })
      isFailing = true
    }
  }
  return () => {
    underWay ??= refresh().finally(() => {
      underWay = undefined
    })
    return underWay
  }
}

function startCollecting(config: Config, collections: readonly Collection[], own: OwnMetrics): () => void {
  return startClock(
    collections.map((collection) => {
      const settings = config.receivers.get(collection.id)?.settings
      const intervalMs = settings?.collection_interval ?? 15_000
      const miss = (ticks: number) => own.missed.add(ticks, { receiver: collection.id })
      return {
        intervalMs,
        delayMs: settings?.initial_delay ?? 0,
        lastMs: () => collection.beganMs,
        tick() {
          if (!collection.isUnderWay) collection.collect()
          // One that a scrape began a moment ago serves this tick as well.
          else if (performance.now() - collection.beganMs >= intervalMs) miss(1)
        },
        missed: miss,
      }
    }),
  )
}

/** By exporter: what brings it data. */
function feedsOf(pipelines: readonly RunningPipeline[], collections: readonly Collection[]) {
  const exporters = new Set(pipelines.flatMap((pipeline) => pipeline.exporters.map(({ id }) => id)))
  return new Map(
    Array.from(exporters, (id) => {
      const feeding = pipelines.filter((pipeline) => pipeline.exporters.some((exporter) => exporter.id === id))
      const ids = new Set(feeding.flatMap(({ receivers }) => receivers))
      return [id, collections.filter((collection) => ids.has(collection.id))] as const
    }),
  )
}

/** For an exporter that is asked now: everything that feeds it, unless it is young enough. */
async function collectFor(collections: readonly Collection[], maxAgeMs: number): Promise<void> {
  if (collections.length === 0) throw new Error('no receiver that feeds this exporter could start: see the log')
  const nowMs = performance.now()
  const failures = await Promise.all(
    collections.map((collection) => {
      const isYoung = nowMs - collection.beganMs <= maxAgeMs
      return isYoung && !collection.isUnderWay ? collection.failure : collection.collect()
    }),
  )
  if (failures.some((failure) => failure === undefined)) return
  const reasons = failures.map((failure, at) => `${collections[at]?.id}: ${failure?.message}`)
  throw new Error(`no receiver could be collected: ${reasons.join('; ')}`)
}

/** What happened since the last tick would be lost otherwise. */
async function collectLast(collections: readonly Collection[], deadlineMs: number): Promise<void> {
  const all = Promise.all(collections.map((collection) => collection.collect()))
  await within(deadlineMs, all, 'late').catch(() => undefined)
}
