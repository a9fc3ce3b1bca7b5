// What a service takes from the rest of the house: the machine, and the provider of its own metrics.
import { MeterProvider, type MetricReader } from '@opentelemetry/sdk-metrics'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { version } from '../version.ts'
import type { Surroundings } from './service.ts'

export const outside: Omit<Surroundings, 'log'> = {
  startHost: (settings, log) =>
    startHost({ log, settings: settings === undefined ? hostSettings.parse({}) : hostSettings.parse(settings) }),
  createTelemetry(readers: readonly MetricReader[]) {
    const provider = new MeterProvider({ readers: [...readers] })
    return {
      meter: (scope) => provider.getMeter(scope, version),
      stop: (deadlineMs) => provider.shutdown({ timeoutMillis: deadlineMs }),
    }
  },
}
