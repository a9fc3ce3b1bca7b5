// A real Prometheus scrapes the real agent, the Collector's prometheus receiver does, and promtool reads the page.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { startAgent } from '../agent.ts'
import { startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { interopBinaries } from './binaries.ts'
import { scratch, startCollector } from './collector.ts'
import { freePort } from './ports.ts'

const WITH_BUILD = { timeout: 900_000 }
const USAGE = 'container_resources_cpu_usage_seconds_total'

type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] }

/** Ready to be asked, and scraping the target every second. */
async function startPrometheus(t: TestContext, target: string) {
  const { prometheus } = await interopBinaries()
  const folder = scratch(t)
  const port = await freePort()
  const config = join(folder, 'prometheus.yaml')
  const scrape = {
    job_name: 'leadline',
    scrape_interval: '1s',
    scrape_timeout: '1s',
    static_configs: [{ targets: [target] }],
  }
  writeFileSync(config, JSON.stringify({ scrape_configs: [scrape] }))
  const flags = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--scrape.discovery-reload-interval=100ms',
  ]
  const child = spawn(prometheus, flags, { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log += chunk))
  atEnd(t, async () => {
    child.kill('SIGTERM')
    await until('Prometheus ends', () => child.exitCode !== null || child.signalCode !== null)
  })
  const ask = async <T>(path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return ((await response.json()) as { data: T }).data
  }
  await until('Prometheus is ready', async () => (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok, {
    deadlineMs: 20_000,
  })
  return {
    log: () => log,
    query: async (query: string) =>
      (await ask<{ result: Sample[] }>(`/api/v1/query?query=${encodeURIComponent(query)}`)).result,
    targets: async () =>
      (await ask<{ activeTargets: { health: string; lastError: string }[] }>('/api/v1/targets')).activeTargets,
  }
}

/** A service whose name nobody should have chosen, in the tree where systemd puts its own. (Newlines the kernel refuses.) */
function oddService(t: TestContext): string {
  const name = `odd "quoted" \\ back\\nslash é {x="y"} ${process.pid}.service`
  const hybrid = '/sys/fs/cgroup/unified'
  const parent = join(existsSync(hybrid) ? hybrid : '/sys/fs/cgroup', 'system.slice')
  const folder = join(parent, name)
  const isOurs = !existsSync(parent)
  mkdirSync(folder, { recursive: true })
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  writeFileSync(join(folder, 'cgroup.procs'), String(child.pid))
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await until('its group is empty', () => readFileSync(join(folder, 'cgroup.procs'), 'utf8') === '')
    rmdirSync(folder)
    if (isOurs) rmdirSync(parent)
  })
  return name
}

test('a real Prometheus and the Collector scrape everything, and promtool has nothing to say', {
  ...WITH_BUILD,
  ...requires('root', 'addon', 'docker', 'go'),
}, async (t) => {
  const docker = await startDocker(t, 'scraped')
  const plain = await docker.run('plain_name.with-all', { flags: ['--memory', '32m'], command: ['burner', '1'] })
  await docker.run('labelled', {
    flags: ['--label', 'io.kubernetes.container.name=a"b\\c\nd', '--label', `long=${'é'.repeat(5000)}`],
    command: ['sleep', '1000'],
  })
  const odd = oddService(t)
  // That nobody listens at its other exporter's end is none of the page's business.
  const agent = await startAgent(t, { exporters: { otlp_grpc: { endpoint: 'http://127.0.0.1:1' } } })
  await until('all are on the page', async () => {
    const page = await agent.scrape()
    return page.value(USAGE, { container_id: `/docker/${plain.name}` }) !== undefined && page.text.includes('odd ')
  })

  const { promtool } = await interopBinaries()
  const { text, samples } = await agent.scrape()
  const checked = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' })
  assert.deepEqual([checked.status, `${checked.stdout}${checked.stderr}`], [0, ''])

  const zipped = await fetch(agent.url, { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(zipped.headers.get('content-encoding'), 'gzip')
  assert.match(zipped.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4; charset=utf-8$/)

  const target = new URL(agent.url).host
  const prometheus = await startPrometheus(t, target)
  const collector = await startCollector(t, {
    port: 0,
    receivers: {
      prometheus: {
        config: {
          scrape_configs: [{ job_name: 'leadline', scrape_interval: '1s', static_configs: [{ targets: [target] }] }],
        },
      },
    },
  })

  await until('Prometheus has it', async () => (await prometheus.query(USAGE)).length > 0, { deadlineMs: 30_000 })
  const [retries] = await prometheus.query('otelcol_exporter_retries_total{exporter="otlp_grpc"}')
  assert.ok(Number(retries?.value[1]) > 0)
  const [up] = await prometheus.query('up')
  assert.equal(up?.value[1], '1')
  assert.deepEqual(
    (await prometheus.targets()).map(({ health, lastError }) => [health, lastError]),
    [['up', '']],
  )
  const [scraped] = await prometheus.query('scrape_samples_scraped')
  const [kept] = await prometheus.query('scrape_samples_post_metric_relabeling')
  assert.equal(scraped?.value[1], kept?.value[1])
  // Containers of others come and go meanwhile.
  const count = Number(scraped?.value[1])
  assert.ok(Math.abs(count - samples.length) < 0.2 * samples.length, `${count} scraped, ${samples.length} on the page`)
  const [usage] = await prometheus.query(`${USAGE}{container_id="/docker/${plain.name}"}`)
  assert.ok(Number(usage?.value[1]) > 0)
  const services = await prometheus.query('{container_id=~"/system.slice/odd.*"}')
  assert.ok(services.length > 0)
  for (const { metric } of services) assert.equal(metric.container_id, `/system.slice/${odd}`)
  assert.doesNotMatch(prometheus.log(), /level=(WARN|ERROR).*scrape/i)

  const arrived = await until(
    'the Collector has it',
    () => {
      const all = collector.arrived()
      return all.some(({ name }) => name === USAGE) ? all : undefined
    },
    { deadlineMs: 30_000, everyMs: 300 },
  )
  assert.ok(arrived.some(({ name, value }) => name === 'up' && value === 1))
  const [mine] = arrived.filter((one) => one.name === USAGE && one.attributes.container_id === `/docker/${plain.name}`)
  assert.deepEqual([mine?.kind, (mine?.value ?? 0) > 0], ['counter', true])
  assert.doesNotMatch(collector.log(), /Failed to scrape/)
})

test('the Collector accepts its side of our example', { ...WITH_BUILD, ...requires('go') }, async (t) => {
  const { otelcol } = await interopBinaries()
  const example = parse(readFileSync('otel-config/collector/collector.yaml', 'utf8'))
  // Ours for the tests was built without processors.
  delete example.processors
  delete example.service.pipelines.metrics.processors
  const file = join(scratch(t), 'collector.yaml')
  writeFileSync(file, JSON.stringify(example))
  const { status, stderr } = spawnSync(otelcol, ['validate', '--config', file], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
})
