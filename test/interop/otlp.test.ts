// The real agent sends what real containers do to a real OpenTelemetry Collector, which writes it to a file.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../../native/paths.ts'
import { startAgent } from '../agent.ts'
import { type Docker, startDocker } from '../containers/docker.ts'
import { run } from '../otel-config/exporters/otlp_grpc/given.ts'
import { batch, cgroup, point, resource } from '../processors/given.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Arrived, startCollector } from './collector.ts'
import { freePort } from './ports.ts'

/** The first build of the Collector on a machine takes minutes. */
const WITH_BUILD = { timeout: 900_000 }
const USAGE = 'container.resources.cpu.usage'
const MIB = 2 ** 20

const inspect = async ({ docker }: Docker, id: string, what: string) => docker('inspect', '--format', what, id)

/** CPU seconds of a process with one thread, as the scheduler counts them (Documentation/scheduler/sched-stats.rst). */
const cpuSeconds = (pid: string) => Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[0]) / 1e9

const series = ({ resource, name, attributes }: Arrived) =>
  `${resource['container.id']} ${name} ${JSON.stringify(Object.entries(attributes).sort())}`

const retries = { initial_interval: '500ms', max_interval: '1s' }

test('one Resource per container, with the right attributes, names, units, kinds, values and times', {
  ...WITH_BUILD,
  ...requires('root', 'addon', 'docker', 'go'),
}, async (t) => {
  const port = await freePort()
  const collector = await startCollector(t, { port })
  const docker = await startDocker(t, 'otlp')
  const limits = ['--cpus', '0.25', '--memory', '64m', '--label', 'any=thing']
  const burner = await docker.run('burner', { flags: limits, command: ['burner', '1'] })
  const idle = await docker.run('idle', { command: ['sleep', '1000'] })
  const pid = await inspect(docker, burner.id, '{{.State.Pid}}')
  const agent = await startAgent(t, {
    receivers: { delay_accounting: { collection_interval: '1s' }, cgroup: { collection_interval: '1s' } },
    exporters: { otlp_grpc: { endpoint: `http://127.0.0.1:${port}` } },
  })
  const of = (id: string, name: string) =>
    collector.arrived().filter((one) => one.resource['container.id'] === id && one.name === name)
  const before = cpuSeconds(pid)
  const beforeNs = BigInt(Date.now()) * 1_000_000n
  const usage = await until('a value that is younger than ours', () =>
    of(burner.id, USAGE).find(({ timeNs }) => timeNs > beforeNs),
  )
  // The runtime's own threads were in the group as well, for a moment.
  const after = cpuSeconds(pid)
  assert.ok(usage.value >= before * 0.99 && usage.value <= after + 0.5, `${before} ≤ ${usage.value} ≤ ${after}`)
  assert.deepEqual([usage.unit, usage.kind, usage.scope], ['s', 'counter', 'cgroup'])
  const [createdMs = 0, startedMs = 0] = (await inspect(docker, burner.id, '{{.Created}} {{.State.StartedAt}}'))
    .split(' ')
    .map((time) => Date.parse(time))
  const startMs = Number(usage.startNs / 1_000_000n)
  // The kernel dates its directories in ticks.
  assert.ok(startMs >= createdMs - 20 && startMs <= startedMs + 20, `${createdMs} ≤ ${startMs} ≤ ${startedMs}`)

  await until('both are complete', () => of(idle.id, USAGE).length > 0 && of(burner.id, 'container.info').length > 0)
  const [limit] = of(burner.id, 'container.resources.cpu.limit_cores')
  assert.deepEqual([limit?.value, limit?.kind, limit?.unit], [0.25, 'gauge', '{cpu}'])
  const [memory] = of(burner.id, 'container.resources.memory.limit')
  assert.deepEqual([memory?.value, memory?.kind, memory?.unit], [64 * MIB, 'updowncounter', 'By'])
  assert.equal(of(idle.id, 'container.resources.memory.limit').length, 0, 'no limit is no series')

  // Where Docker is slow to answer, the first numbers went out under what the cgroup's path alone tells.
  const identity = await until(
    'Docker has named it',
    () => of(burner.id, USAGE).findLast((one) => one.resource['container.name'] !== undefined)?.resource,
  )
  assert.equal(identity['container.name'], burner.name)
  assert.equal(identity['container.runtime.name'], 'docker')
  assert.equal(`${identity['container.image.name']}:${identity['container.image.tags']}`, docker.image)
  assert.equal(identity['host.name'], readFileSync('/proc/sys/kernel/hostname', 'utf8').trim())
  for (const { id } of [burner, idle]) {
    const counts = () => collector.resourcesWith('container.id', id)
    const before = counts().length
    await until('two more exports with names', () => counts().length >= before + 3)
    assert.deepEqual(counts().slice(-2), [1, 1])
  }
  // Identity stands in the Resource alone, and no Prometheus name has slipped through.
  for (const one of collector.arrived()) {
    assert.equal(one.attributes.container_id, undefined)
    if (one.scope === 'cgroup' || one.scope === 'delay_accounting') assert.doesNotMatch(one.name, /_total$|_seconds/)
  }

  const own = await until('it tells what it has sent', () => {
    const all = collector.arrived().filter(({ resource: about }) => about['service.name'] === 'leadline')
    return all.some(({ name, value }) => name === 'otelcol_exporter_sent_metric_points' && value > 0) ? all : undefined
  })
  const rss = own.findLast(({ name }) => name === 'otelcol_process_memory_rss')
  const { rssBytes } = agent.memory()
  assert.ok(Math.abs((rss?.value ?? 0) - rssBytes) < 0.3 * rssBytes, `${rss?.value} is not about ${rssBytes}`)
  assert.ok(own.every(({ resource }) => /^[0-9a-f-]{36}$/.test(resource['service.instance.id'] ?? '')))
})

test('requests that a Collector with default settings takes: 12 MB in pieces below 4 MiB, every point once', {
  ...WITH_BUILD,
  ...requires('go'),
}, async (t) => {
  const port = await freePort()
  const collector = await startCollector(t, { port })
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}`, compression: 'gzip' })
  const long = 'x'.repeat(900)
  const points = Array.from({ length: 12_000 }, (_, at) => {
    const container = Math.floor(at / 300)
    const attributes = { at: String(at), long }
    return point({ subject: cgroup(container), value: at, resource: resource(`c${container}`), attributes })
  })
  exporter.consume(batch(points, Date.now()))
  const arrived = await until(
    'all of them',
    () => {
      const all = collector.arrived().filter(({ name }) => name === 'test.counter')
      return all.length >= 12_000 ? all : undefined
    },
    { deadlineMs: 20_000, everyMs: 300 },
  )
  assert.equal(arrived.length, 12_000)
  assert.equal(new Set(arrived.map(({ attributes }) => attributes.at)).size, 12_000)
  for (const { attributes, value, resource: about } of arrived) {
    assert.equal(String(value), attributes.at)
    assert.equal(about['container.name'], `c${Math.floor(value / 300)}`)
  }
  assert.ok(Math.max(...arrived.map(({ request }) => request)) >= 2)
  assert.deepEqual(exporter.lines, [])
})

test('a Collector that is away and comes back: no counter has a gap or a reset, and memory stays', {
  ...WITH_BUILD,
  ...requires('root', 'addon', 'docker', 'go'),
}, async (t) => {
  const outageMs = Number(process.env.LEADLINE_OUTAGE_MS ?? 8000)
  const port = await freePort()
  const collector = await startCollector(t, { port })
  const docker = await startDocker(t, 'outage')
  const steady = await docker.run('steady', { flags: ['--cpus', '0.2'], command: ['burner', '1'] })
  const doomed = await docker.run('doomed', { flags: ['--cpus', '0.2'], command: ['burner', '1'] })
  const steadyPid = await inspect(docker, steady.id, '{{.State.Pid}}')
  const doomedPid = await inspect(docker, doomed.id, '{{.State.Pid}}')
  const agent = await startAgent(t, {
    // As it ships, because memory is looked at.
    main: join(root, 'otel-config/build/leadline.cjs'),
    nodeFlags: ['--max-semi-space-size=2'],
    env: { MALLOC_ARENA_MAX: '1' },
    receivers: { delay_accounting: { collection_interval: '500ms' }, cgroup: { collection_interval: '500ms' } },
    exporters: {
      otlp_grpc: { endpoint: `http://127.0.0.1:${port}`, metric_expiration: '1s', retry_on_failure: retries },
    },
  })
  const usage = (id: string) =>
    collector.arrived().filter((one) => one.resource['container.id'] === id && one.name === USAGE)
  await until('both are known', () => usage(steady.id).length > 3 && usage(doomed.id).length > 3)

  await collector.stop()
  const atStop = usage(doomed.id).at(-1)
  await until('the outage is noticed', () => agent.said(/Will retry/).length > 0)
  const { rssBytes: rssBefore } = agent.memory()
  await sleep(outageMs / 2)
  const lastWords = cpuSeconds(doomedPid)
  // Until the agent has certainly read what we read.
  await sleep(1000)
  await docker.remove(doomed)
  await sleep(outageMs / 2)
  const { rssBytes: rssAfter } = agent.memory()
  const beforeBack = cpuSeconds(steadyPid)
  const backMs = Date.now()
  await collector.start()
  const recovered = await until(
    'it arrives again',
    () => usage(steady.id).find(({ timeNs }) => timeNs > BigInt(backMs) * 1_000_000n),
    { deadlineMs: 30_000 },
  )
  t.diagnostic(
    `back after ${Date.now() - backMs} ms; RSS ${Math.round(rssBefore / MIB)} → ${Math.round(rssAfter / MIB)} MiB`,
  )
  assert.ok(recovered.value >= beforeBack * 0.99, `${recovered.value} < ${beforeBack}`)
  const last = usage(doomed.id).at(-1)
  assert.ok(
    (last?.value ?? 0) >= lastWords * 0.99,
    `what the dead container counted last: ${last?.value} < ${lastWords}`,
  )
  assert.ok((last?.value ?? 0) > (atStop?.value ?? 0))

  // Others on this machine may come and go as they like.
  const ours = collector
    .arrived()
    .filter((one) => one.kind === 'counter' && [steady.id, doomed.id].includes(one.resource['container.id'] ?? ''))
  const bySeries = Map.groupBy(ours, series)
  assert.ok(bySeries.size > 10, `${bySeries.size} series`)
  for (const [name, points] of bySeries) {
    for (const [at, one] of points.entries()) {
      const previous = points[at - 1]
      if (previous === undefined) continue
      assert.ok(one.value >= previous.value, `${name} went down: ${previous.value} → ${one.value}`)
      assert.equal(one.startNs, previous.startNs, `${name} pretends to have begun anew`)
      assert.ok(one.timeNs > previous.timeNs, `${name} went back in time, or came twice`)
    }
  }
  assert.ok(rssAfter - rssBefore < 25 * MIB, `${rssBefore} → ${rssAfter}`)
  assert.equal(agent.said(/Will retry/).length, 1, 'an outage is told once')
  assert.equal(agent.said(/Exporting works again/).length, 1)
  assert.equal(agent.said(/Dropping data/).length, 0)
  const page = await agent.scrape()
  assert.equal(page.value('otelcol_exporter_send_failed_metric_points_total', { exporter: 'otlp_grpc' }), 0)
})
