// The receiver on the real kernel, looking at connections between network namespaces of the test's own.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { readLayout } from '../../receivers/host/layout.ts'
import type { Attributes, Subject } from '../../receivers/receiver.ts'
import tcpConnections from '../../receivers/tcp_connections/index.ts'
import type { MetricName } from '../../receivers/tcp_connections/metrics.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import type { Namespace } from './network.ts'

export type Point = {
  readonly subject: Subject
  readonly metric: string
  readonly value: number
  readonly attributes: Attributes
}

export type Collected = {
  readonly points: readonly Point[]
  /** Sum of a metric (without `container.net.tcp.`; of a histogram `.count` for how many) over the points that carry these attributes, of one cgroup. */
  sum(metric: string, attributes?: Attributes, cgroup?: string): number
  /** By who answered. */
  answered(metric: string, destination: string): Record<string, number>
}

export type Receiver = {
  readonly log: ReturnType<typeof listeningLog>
  collect(): Promise<Collected>
  /** Until it is so, for at most twenty seconds; then the last one. */
  collectUntil(isSo: (collected: Collected) => boolean): Promise<Collected>
  /** What the receiver's own telemetry says, by cause. */
  losses(): Promise<Readonly<Record<string, number>>>
  stop(): Promise<void>
  /** Starts another one, which looks once, and stops it. */
  again(): Promise<void>
}

const V2_TREE = '/sys/fs/cgroup'

type Options = {
  /** Those of the test: others run tests on this machine too, with the same addresses. All when absent. */
  readonly inside?: readonly Pick<Namespace, 'inode'>[]
  /** Only what this cgroup does, wherever. */
  readonly cgroup?: string
  /** Taken for the namespace of the host. */
  readonly initial?: Pick<Namespace, 'inode'>
  readonly config?: Readonly<Record<string, unknown>>
  /** Where Docker is asked for names and ports; nowhere when absent. */
  readonly docker?: string
}

class Reader extends MetricReader {
  protected override onForceFlush = async () => {}
  protected override onShutdown = async () => {}
}

export async function startReceiver(
  t: TestContext,
  { inside, cgroup, initial, config = {}, docker = 'unix:///nowhere' }: Options = {},
): Promise<Receiver> {
  const log = listeningLog()
  const real = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: docker } }) })
  atEnd(t, () => real.stop())
  const host = initial ? { ...real, namespaces: { ...real.namespaces, initial: initial.inode } } : real
  const reader = new Reader()
  const meters = new MeterProvider({ readers: [reader] })
  const context = { host, log, meter: meters.getMeter('test'), id: 'tcp_connections', logs: () => {} }
  const running = await tcpConnections.start(z.parse(tcpConnections.config, config), context)
  let stopped = false

  async function stop() {
    if (stopped) return
    stopped = true
    await running.stop?.()
    await meters.shutdown()
  }
  atEnd(t, stop)

  async function collect(): Promise<Collected> {
    const points: Point[] = []
    await host.refresh(1000)
    await running.collect({
      record(subject, metric, value, attributes = {}) {
        const isOurs = (key: string) => inside === undefined || inside.some(({ inode }) => key.includes(` ${inode} `))
        if (subject.kind === 'flow' && cgroup === undefined && !isOurs(subject.key)) return
        if (cgroup !== undefined && (subject.kind !== 'flow' || subject.cgroup.path !== `/${cgroup}`)) return
        points.push({ subject, metric: metric.replace('container.net.tcp.', ''), value, attributes })
      },
      distribution(subject, metric, sum, counts, attributes) {
        this.record(subject, metric, sum, attributes)
        const name = `${metric}.count` as MetricName
        this.record(
          subject,
          name,
          Array.from(counts).reduce((all, count) => all + count, 0),
          attributes,
        )
      },
      failed(error) {
        throw error
      },
    })
    const having = (metric: string, attributes: Attributes) =>
      points.filter(
        (point) =>
          point.metric === metric &&
          Object.entries(attributes).every(([key, value]) => point.attributes[key] === value),
      )
    return {
      points,
      sum: (metric, attributes = {}, cgroup) =>
        having(metric, attributes)
          .filter(({ subject }) => cgroup === undefined || pathOf(subject) === `/${cgroup}`)
          .reduce((sum, { value }) => sum + value, 0),
      answered(metric, destination) {
        const sums: Record<string, number> = {}
        for (const { subject, value } of having(metric, { destination })) {
          const actual = (subject.kind === 'flow' && subject.actualDestination) || 'unknown'
          sums[actual] = (sums[actual] ?? 0) + value
        }
        return sums
      },
    }
  }

  return {
    log,
    collect,
    async losses() {
      const { resourceMetrics } = await reader.collect()
      const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
      const found = all.find(({ descriptor }) => descriptor.name === 'otelcol_receiver_tcp_losses')
      return Object.fromEntries(found?.dataPoints.map(({ attributes, value }) => [attributes.cause, value]) ?? [])
    },
    async collectUntil(isSo) {
      const deadlineMs = performance.now() + 20_000
      for (;;) {
        const collected = await collect()
        if (isSo(collected) || performance.now() > deadlineMs) return collected
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
    stop,
    async again() {
      const another = await tcpConnections.start(z.parse(tcpConnections.config, config), context)
      await another.collect({
        record() {},
        distribution() {},
        failed(error) {
          throw error
        },
      })
      await another.stop?.()
    },
  }
}

/** A cgroup of the v2 tree, by its name. Docker makes `docker` with its first container only. */
export function makeCgroup(
  t: TestContext,
  name = `leadline-tcp-${process.pid}-${performance.now().toFixed(0)}`,
): string {
  mkdirSync(directoryOf(name), { recursive: true })
  atEnd(t, () => removed(name))
  return name
}

/** A cgroup that is taken for a container of Docker's. */
export const makeContainer = (t: TestContext): string => makeCgroup(t, `docker/${randomBytes(32).toString('hex')}`)

/** Puts a process that runs into a cgroup. */
export function move({ pid }: ChildProcess, cgroup: string): void {
  writeFileSync(`${directoryOf(cgroup)}/cgroup.procs`, String(pid))
}

/** A cgroup that no process will be in any more. */
export const removed = (cgroup: string) => until('its last process is reaped', () => tryRemove(directoryOf(cgroup)))

function tryRemove(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

const directoryOf = (cgroup: string) => `${readLayout(V2_TREE).root}/${cgroup}`

/** Runs connections.c by a process in a cgroup. `ip netns exec` hides the cgroup file systems, so that comes second. */
function spawnIn(cgroup: string, { name }: Namespace, args: readonly (string | number)[]) {
  const procs = `${directoryOf(cgroup)}/cgroup.procs`
  const command = ['ip', 'netns', 'exec', name, buildTool('connections'), ...args.map(String)]
  return spawn('sh', ['-c', `echo $$ > ${procs}; exec "$@"`, 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** As `connections`, by a process in a cgroup. */
export const connectionsIn = (cgroup: string, namespace: Namespace, ...args: (string | number)[]): Promise<number[]> =>
  told(spawnIn(cgroup, namespace, args))

/** What goes on after its line, by a process in a cgroup. The caller has to kill it. */
export async function keepingIn(cgroup: string, namespace: Namespace, ...args: (string | number)[]) {
  const child = spawnIn(cgroup, namespace, args)
  await once(child.stdout, 'data')
  return child
}

/** Runs test/tools/connections.c in a namespace, and returns the numbers that it printed. */
export function connections(namespace: Namespace, ...args: (string | number)[]): Promise<number[]> {
  const child = namespace.start(buildTool('connections'), ...args.map(String))
  return told(child)
}

/** The same for what goes on after its line: the process too. */
export async function keeping(
  namespace: Namespace,
  ...args: (string | number)[]
): Promise<{ child: ChildProcess; numbers: number[] }> {
  const child = namespace.start(buildTool('connections'), ...args.map(String))
  const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer]
  return { child, numbers: numbersOf(String(line)) }
}

/** Of the control group that something is said of. */
export function pathOf(subject: Subject): string | undefined {
  if (subject.kind === 'flow') return subject.cgroup.path
  return subject.kind === 'cgroup' ? subject.path : undefined
}

/** The numbers that a process prints until it ends. */
export async function told(child: ChildProcess): Promise<number[]> {
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += chunk
  })
  await once(child, 'close')
  return numbersOf(text)
}

const numbersOf = (text: string): number[] => text.trim().split(/\s+/).map(Number)

export async function killed(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}
