// One export over gRPC by number of series: the otlp_grpc exporter's table, the SDK's serializer and transport, and a
// server in a process of its own that takes everything. The longest stall is what a scrape meanwhile would wait.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createNoopMeter, type Meter } from '@opentelemetry/api'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import otlpGrpc from '../../otel-config/exporters/otlp_grpc/index.ts'
import type { Host } from '../../receivers/host/host.ts'
import { serveMetrics, TAKEN } from '../otel-config/exporters/otlp_grpc/server.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { until } from '../until.ts'
import type { Row } from './index.ts'
import { containers, SERIES_PER_CONTAINER } from './table.ts'

const ROUNDS = 7
const SINK = '--sink'
const identity = { machineId: 'b7fd', systemUuid: '', hostname: 'bench', kernelVersion: '6', arch: 'x64' }

/** One row per number of series and compression; medians in milliseconds. */
export async function run(): Promise<Row[]> {
  const sink = fork(import.meta.filename, [SINK], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  try {
    const [port] = (await once(sink, 'message')) as [number]
    const rows: Row[] = []
    for (const series of [1000, 10_000, 100_000]) {
      for (const compression of ['none', 'gzip']) rows.push(await measure(series, compression, port))
    }
    return rows
  } finally {
    sink.kill()
  }
}

async function measure(series: number, compression: string, port: number): Promise<Row> {
  const batchOf = containers(series / SERIES_PER_CONTAINER)
  const settings = {
    endpoint: `http://127.0.0.1:${port}`,
    compression,
    sending_queue: { batch: { flush_timeout: '0s' } },
  }
  const host = { identity } as Host
  const exporter = otlpGrpc.create(z.parse(otlpGrpc.config, settings), {
    host,
    log: listeningLog(),
    id: 'otlp_grpc',
    collect: async () => {},
  })
  let sent = 0
  const provider = new MeterProvider({ readers: [...(exporter.readers ?? [])] })
  const meter: Meter = Object.create(createNoopMeter())
  meter.createCounter = (name) => ({
    add(points) {
      if (name === 'otelcol_exporter_sent_metric_points') sent += points
    },
  })
  await exporter.start(meter)
  const walls: number[] = []
  const cpus: number[] = []
  const stalls: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const batch = batchOf(round)
    const before = sent
    exporter.consume(batch)
    const stall = monitorEventLoopDelay({ resolution: 1 })
    stall.enable()
    const [startMs, startCpu] = [performance.now(), process.cpuUsage()]
    await until('everything arrived', () => sent >= before + series, { deadlineMs: 60_000, everyMs: 2 })
    const { user, system } = process.cpuUsage(startCpu)
    stall.disable()
    walls.push(performance.now() - startMs)
    cpus.push((user + system) / 1000)
    stalls.push(stall.max / 1e6)
  }
  await exporter.stop(1000)
  await provider.shutdown()
  return {
    series,
    compression,
    'export ms': round1(median(walls)),
    'CPU ms': round1(median(cpus)),
    'CPU µs per series': round1((median(cpus) * 1000) / series),
    'longest stall ms': round1(median(stalls)),
  }
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const round1 = (value: number) => Math.round(value * 10) / 10

if (process.argv.includes(SINK)) {
  const { port } = await serveMetrics(() => TAKEN)
  process.send?.(port)
}
