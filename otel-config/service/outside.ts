// What a service takes from the rest of the house: the machine, and the provider of its own metrics.
import { createNoopMeter } from '@opentelemetry/api'
import { MeterProvider, type MetricReader } from '@opentelemetry/sdk-metrics'
import { type HostSettings, hostSettings, startHost } from '../../receivers/host/index.ts'
import { version } from '../version.ts'
import type { Surroundings } from './service.ts'

export const outside: Omit<Surroundings, 'log'> = {
  startHost: (settings, log) => startHost({ log, settings: (settings as HostSettings) ?? hostSettings.parse({}) }),
  createTelemetry(readers: readonly MetricReader[], { metrics }) {
    const provider = new MeterProvider({ readers: [...readers] })
    return {
      meter: (scope) => (metrics.level === 'none' ? createNoopMeter() : provider.getMeter(scope, version)),
      stop: (deadlineMs) => provider.shutdown({ timeoutMillis: deadlineMs }),
    }
  },
}
