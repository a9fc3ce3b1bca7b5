// The exporter with real gRPC below it, fed by hand, and read back through the SDK's own telemetry.
import type { TestContext } from 'node:test'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import type { Exporter } from '../../../../otel-config/exporter.ts'
import otlpGrpc from '../../../../otel-config/exporters/otlp_grpc/index.ts'
import { settings } from '../../../../otel-config/exporters/otlp_grpc/settings.ts'
import type { Host } from '../../../../receivers/host/host.ts'
import { atEnd } from '../../../ending.ts'

export type Line = { readonly level: string; readonly message: string; readonly fields: Record<string, unknown> }

export type Running = Exporter & {
  readonly lines: Line[]
  /** Value of an own metric; undefined when nobody counted. */
  own(name: string): Promise<number | undefined>
}

const identity = { machineId: 'm1', systemUuid: '', hostname: 'box', kernelVersion: '6.18', arch: 'x64' }

class Reader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}
}

/** Impatient, so that tests need not wait: retries after 50 ms, and nothing is gathered for longer than 5 ms. */
export async function run(t: TestContext, given: Record<string, unknown>): Promise<Running> {
  const config = settings.parse({
    compression: 'none',
    ...given,
    sending_queue: { batch: { flush_timeout: '5ms' }, ...(given.sending_queue as object) },
    retry_on_failure: { initial_interval: '50ms', max_interval: '50ms', ...(given.retry_on_failure as object) },
  })
  const lines: Line[] = []
  const at =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}) =>
      void lines.push({ level, message, fields })
  const exporter = otlpGrpc.create(config, {
    host: { identity } as Host,
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    id: 'otlp_grpc',
    collect: async () => {},
  })
  const reader = new Reader()
  const provider = new MeterProvider({ readers: [reader, ...(exporter.readers ?? [])] })
  await exporter.start(provider.getMeter('test'))
  atEnd(t, () => exporter.stop(1000))
  return {
    ...exporter,
    lines,
    async own(name) {
      const { resourceMetrics } = await reader.collect()
      const metric = resourceMetrics.scopeMetrics
        .flatMap(({ metrics }) => metrics)
        .find((one) => one.descriptor.name === name)
      return metric?.dataPoints[0]?.value as number | undefined
    },
  }
}

/** `field → bytes` of a protobuf message whose fields are all length-delimited or fixed; enough for these tests. */
export function resourcesIn(request: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let at = 0; at < request.length; ) {
    if (request[at++] !== 0x0a) throw new Error('not a repeated field 1')
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = request[at++] ?? 0
      length += (byte & 127) * 2 ** shift
      if (byte < 128) break
    }
    found.push(request.subarray(at, at + length))
    at += length
  }
  return found
}
