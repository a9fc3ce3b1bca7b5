// What a service takes from the rest of the house: the machine, and the provider of its own metrics.
import { randomUUID } from 'node:crypto'
import { createNoopMeter } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { MeterProvider, type MetricReader } from '@opentelemetry/sdk-metrics'
import { hostResource } from '../../processors/host_resource.ts'
import type { Host } from '../../receivers/host/host.ts'
import { type HostSettings, hostSettings, startHost } from '../../receivers/host/index.ts'
import type { TelemetrySettings } from '../config/schema.ts'
import { version } from '../version.ts'
import type { Surroundings } from './service.ts'

/** Whose the own telemetry is: this agent, on this machine. As in the Collector, a setting adds, changes or removes. */
function ownResource(settings: TelemetrySettings['resource'], { identity }: Host) {
  const attributes = {
    ...hostResource(identity).attributes,
    'service.name': 'leadline',
    'service.version': version,
    'service.instance.id': randomUUID(),
    ...settings,
  }
  const wanted = Object.entries(attributes).filter((entry): entry is [string, string] => entry[1] !== null)
  return resourceFromAttributes(Object.fromEntries(wanted))
}

export const outside: Omit<Surroundings, 'log'> = {
  startHost: (settings, log) => startHost({ log, settings: (settings as HostSettings) ?? hostSettings.parse({}) }),
  createTelemetry(readers: readonly MetricReader[], { metrics, resource }, host) {
    const provider = new MeterProvider({ readers: [...readers], resource: ownResource(resource, host) })
    return {
      meter: (scope) => (metrics.level === 'none' ? createNoopMeter() : provider.getMeter(scope, version)),
      stop: (deadlineMs) => provider.shutdown({ timeoutMillis: deadlineMs }),
    }
  },
}
