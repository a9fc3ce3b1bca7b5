// A real OpenTelemetry Collector as a child process, and what its file exporter wrote, in shapes that are easy to ask.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { atEnd } from '../ending.ts'
import { until } from '../until.ts'
import { interopBinaries } from './binaries.ts'

/** One point as it arrived. Times in nanoseconds since the epoch. */
export type Arrived = {
  readonly resource: Readonly<Record<string, string>>
  readonly scope: string
  readonly name: string
  readonly unit: string
  readonly kind: 'counter' | 'updowncounter' | 'gauge' | 'histogram'
  readonly attributes: Readonly<Record<string, string>>
  /** NaN for a histogram. */
  readonly value: number
  /** Only of a histogram. `counts` has one more than `bounds`. */
  readonly buckets: Buckets | undefined
  readonly startNs: bigint
  readonly timeNs: bigint
  /** Number of the export in which it came. */
  readonly request: number
}

export type Buckets = {
  readonly count: number
  readonly sum: number
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
}

export type Collector = {
  /** Everything so far, across restarts. */
  arrived(): Arrived[]
  /** How many Resources with this attribute each export had that had any. */
  resourcesWith(key: string, value: string): number[]
  log(): string
  stop(): Promise<void>
  start(): Promise<void>
}

/** The test's own folder, gone with the test. */
export function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-interop-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

type Options = {
  readonly port: number
  /** `tls:` of the receiver's gRPC server and the like. */
  readonly grpc?: object
  /** Beside or instead of the otlp receiver. */
  readonly receivers?: Readonly<Record<string, object>>
}

/** With an otlp receiver on a port of the loopback address, or with the receivers given. Waits until it is ready. */
export async function startCollector(t: TestContext, { port, grpc = {}, receivers }: Options): Promise<Collector> {
  const { otelcol } = await interopBinaries()
  const folder = scratch(t)
  const output = join(folder, 'out.json')
  const config = join(folder, 'collector.yaml')
  const otlp = { otlp: { protocols: { grpc: { endpoint: `127.0.0.1:${port}`, ...grpc } } } }
  const sources = receivers ?? otlp
  writeFileSync(
    config,
    JSON.stringify({
      receivers: sources,
      exporters: { file: { path: output, append: true, flush_interval: '100ms' } },
      service: {
        pipelines: { metrics: { receivers: Object.keys(sources), exporters: ['file'] } },
        telemetry: { metrics: { level: 'none' } },
      },
    }),
  )
  writeFileSync(output, '')
  let log = ''
  let child: ReturnType<typeof spawn> | undefined

  async function start() {
    const started = spawn(otelcol, ['--config', config], { stdio: ['ignore', 'ignore', 'pipe'] })
    child = started
    let own = ''
    started.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      own += chunk
      log += chunk
    })
    await until(`the Collector is ready: ${config}`, () => {
      assert.equal(started.exitCode, null, own)
      return own.includes('Everything is ready')
    })
    if (receivers === undefined) await until('its port is open', () => isOpen(port))
  }

  async function stop() {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null) return
    ending.kill('SIGTERM')
    await until('the Collector ends', () => ending.exitCode !== null || ending.signalCode !== null)
  }

  atEnd(t, stop)
  await start()
  const lines = () =>
    readFileSync(output, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Export)
  return {
    start,
    stop,
    log: () => log,
    arrived: () => lines().flatMap(pointsOf),
    resourcesWith: (key, value) =>
      lines()
        .map((line) => line.resourceMetrics.filter(({ resource }) => plain(resource.attributes)[key] === value).length)
        .filter((count) => count > 0),
  }
}

const isOpen = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

/** OTLP's JSON, as far as we look at it. */
type KeyValue = { readonly key: string; readonly value: Readonly<Record<string, unknown>> }
type NumberPoint = {
  readonly attributes?: readonly KeyValue[]
  readonly startTimeUnixNano?: string
  readonly timeUnixNano: string
  readonly asDouble?: number
  readonly asInt?: string
  /** These four of a HistogramDataPoint. */
  readonly count?: string
  readonly sum?: number
  readonly explicitBounds?: readonly number[]
  readonly bucketCounts?: readonly string[]
}
type Data = {
  readonly dataPoints: readonly NumberPoint[]
  readonly aggregationTemporality?: number
  readonly isMonotonic?: boolean
}
type Export = {
  readonly resourceMetrics: readonly {
    readonly resource: { readonly attributes?: readonly KeyValue[] }
    readonly scopeMetrics: readonly {
      readonly scope: { readonly name?: string }
      readonly metrics: readonly {
        readonly name: string
        readonly unit?: string
        readonly sum?: Data
        readonly gauge?: Data
        readonly histogram?: Data
      }[]
    }[]
  }[]
}

const plain = (attributes: readonly KeyValue[] = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]))

const bucketsOf = ({ count = '0', sum = 0, explicitBounds = [], bucketCounts = [] }: NumberPoint): Buckets => ({
  count: Number(count),
  sum,
  bounds: explicitBounds,
  counts: bucketCounts.map(Number),
})

const CUMULATIVE = 2

function pointsOf({ resourceMetrics }: Export, request: number): Arrived[] {
  return resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.flatMap(({ scope, metrics }) =>
      metrics.flatMap(({ name, unit = '', sum, gauge, histogram }) => {
        const data = sum ?? gauge ?? histogram
        if (data === undefined) throw new Error(`${name} is of an unknown kind`)
        if (gauge === undefined) assert.equal(data.aggregationTemporality, CUMULATIVE, name)
        const kind = gauge ? 'gauge' : histogram ? 'histogram' : sum?.isMonotonic ? 'counter' : 'updowncounter'
        return data.dataPoints.map(
          (one) =>
            ({
              resource: plain(resource.attributes),
              scope: scope.name ?? '',
              name,
              unit,
              kind,
              attributes: plain(one.attributes),
              value: one.asDouble ?? Number(one.asInt ?? Number.NaN),
              buckets: histogram && bucketsOf(one),
              startNs: BigInt(one.startTimeUnixNano ?? '0'),
              timeNs: BigInt(one.timeUnixNano),
              request,
            }) satisfies Arrived,
        )
      }),
    ),
  )
}
