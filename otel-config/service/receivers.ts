// Starts the receivers. One unmet need retires one receiver: it is said once, with what would change it, and the rest
// goes on; only when none is left is that an error.
import type { Host } from '../../receivers/host/host.ts'
import type { Need } from '../../receivers/needs.ts'
import type { Logger, RunningReceiver } from '../../receivers/receiver.ts'
import type { Config, ReceiverConfig } from '../config/config.ts'
import type { RootLogger } from '../logger.ts'
import { within } from './deadline.ts'
import type { OwnMetrics } from './own_metrics.ts'
import { deliverLogsTo, type RunningPipeline } from './pipelines.ts'
import type { Telemetry } from './service.ts'
import type { Stops } from './stops.ts'

const START_MS = 10_000

export type Receivers = ReadonlyMap<string, RunningReceiver>

type Parts = {
  readonly host: Host
  readonly log: RootLogger
  readonly telemetry: Telemetry
  readonly own: OwnMetrics
  readonly stops: Stops
  readonly pipelines: readonly RunningPipeline[]
}

/** Those that could be started. Throws when there is none. */
export async function startReceivers(config: Config, parts: Parts): Promise<Receivers> {
  const { host, telemetry, own, stops, pipelines } = parts
  const running = new Map<string, RunningReceiver>()
  const reasons: string[] = []
  const wanted = new Set(Array.from(config.service.pipelines.values(), ({ receivers }) => receivers).flat())
  for (const id of wanted) {
    const receiver = config.receivers.get(id)
    if (receiver === undefined) continue
    const log = parts.log.with({ 'otelcol.component.id': id, 'otelcol.component.kind': 'receiver' })
    const meter = telemetry.meter(`leadline/receivers/${id}`)
    const unmet = receiver.definition.needs.filter(isUnmet)
    const context = { host, log, meter, id, logs: deliverLogsTo(id, pipelines, log) }
    try {
      const one = await inTime((async () => receiver.definition.start(receiver.own, context))())
      stops.add(`receiver ${id}`, async (_, forReload) => one.stop?.(forReload))
      running.set(id, one)
      own.receivers.add(1, { receiver: id, state: unmet.length === 0 ? 'running' : 'partly' })
      sayStarted(log, id, receiver, unmet)
    } catch (error) {
      const reason = withFix(error, unmet)
      reasons.push(`${id}: ${reason}`)
      log.error(`cannot start receiver "${id}": ${reason}`)
      own.receivers.add(1, { receiver: id, state: 'failed' })
    }
  }
  if (running.size > 0) return running
  throw new Error(`cannot start pipelines: no receiver could start (${reasons.join('; ')})`)
}

/** Who hangs while it starts must not keep the others from it. If it comes round later, it is stopped. */
async function inTime(starting: Promise<RunningReceiver>): Promise<RunningReceiver> {
  try {
    return await within(START_MS, starting, `did not start within ${START_MS / 1000} s`)
  } catch (error) {
    starting.then((late) => late.stop?.()).catch(() => {})
    throw error
  }
}

function sayStarted(log: Logger, id: string, { settings }: ReceiverConfig, unmet: readonly Need[]) {
  const every = `${settings.collection_interval / 1000}s`
  if (unmet.length === 0) return log.info(`${id} started`, { every })
  for (const { name, degrades, fix } of unmet)
    log.warn(`${id} started, partly`, { needs: name, missing: degrades, fix })
}

/** A need whose check fails to run is not known to be met. */
function isUnmet(need: Need): boolean {
  try {
    return !need.check()
  } catch {
    return true
  }
}

function withFix(error: unknown, unmet: readonly Need[]): string {
  const reason = error instanceof Error ? error.message : String(error)
  if (/\bfix: /.test(reason) || unmet.length === 0) return reason
  return `${reason} · fix: ${[...new Set(unmet.map(({ fix }) => fix))].join('; ')}`
}
