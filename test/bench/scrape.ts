// A scrape over HTTP by number of series: the prometheus exporter's table, the SDK's serializer, the server, with gzip.
import { createNoopMeter } from '@opentelemetry/api'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import prometheus from '../../otel-config/exporters/prometheus/index.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { listeningLog } from '../receivers/quiet.ts'
import type { Row } from './index.ts'
import { containers, SERIES_PER_CONTAINER } from './table.ts'

const ROUNDS = 9

/** One row per number of series; medians in milliseconds, of the client and the server in one process. */
export async function run(): Promise<Row[]> {
  const log = listeningLog()
  const host = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: 'unix:///nowhere' } }) })
  try {
    const rows: Row[] = []
    for (const series of [1000, 10_000]) rows.push(await measure(series, { host, log, id: 'prometheus' }))
    return rows
  } finally {
    await host.stop()
  }
}

type Context = Pick<Parameters<typeof prometheus.create>[1], 'host' | 'log' | 'id'>

async function measure(series: number, context: Context): Promise<Row> {
  const batchOf = containers(series / SERIES_PER_CONTAINER)
  let round = 0
  const config = z.parse(prometheus.config, { endpoint: 'localhost:0' })
  const collect = async () => exporter.consume(batchOf(round++))
  const exporter = prometheus.create(config, { ...context, collect })
  const provider = new MeterProvider({ readers: [...(exporter.readers ?? [])] })
  await exporter.start(createNoopMeter())
  const url = exporter.url?.() ?? ''
  const times: Record<'identity' | 'gzip', number[]> = { identity: [], gzip: [] }
  let bytes = 0
  for (let i = 0; i < ROUNDS; i++) {
    for (const encoding of ['identity', 'gzip'] as const) {
      const startMs = performance.now()
      const response = await fetch(url, { headers: { 'accept-encoding': encoding } })
      bytes = (await response.arrayBuffer()).byteLength
      if (response.status !== 200) throw new Error(`the page was answered with ${response.status}`)
      times[encoding].push(performance.now() - startMs)
    }
  }
  await exporter.stop(1000)
  await provider.shutdown()
  const [plain, gzip] = [median(times.identity), median(times.gzip)]
  return {
    series,
    'scrape ms': round2(plain),
    'with gzip ms': round2(gzip),
    'gzip / plain': round2(gzip / plain),
    'µs per series': round2((plain * 1000) / series),
    KiB: Math.round(bytes / 1024),
  }
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const round2 = (value: number) => Math.round(value * 100) / 100
