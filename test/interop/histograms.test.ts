// Round trips and handshakes of real connections, as histograms in a real OpenTelemetry Collector: whole, with the bounds
// that the page has, as many as were made, and no longer than the client itself waited.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../../native/paths.ts'
import { BOUNDS_S } from '../../receivers/tcp_connections/totals.ts'
import { startAgent } from '../agent.ts'
import { startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import type { Page } from '../exposition.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Arrived, startCollector } from './collector.ts'
import { freePort } from './ports.ts'

const COUNT = 300

/** The same histogram on the page: counts of its buckets, not summed up, and its sum. */
function onPage(page: Page, name: string, labels: Readonly<Record<string, string>>) {
  const upTo = [...BOUNDS_S.map(String), '+Inf'].map(
    (le) => page.value(`${name}_bucket`, { ...labels, le }) ?? Number.NaN,
  )
  return { counts: upTo.map((count, i) => count - (upTo[i - 1] ?? 0)), sum: page.value(`${name}_sum`, labels) }
}

test('histograms arrive whole', {
  // The first build of the Collector on a machine takes minutes.
  timeout: 900_000,
  ...requires('root', 'addon', 'docker', 'bpf', 'go'),
}, async (t) => {
  const port = await freePort()
  const collector = await startCollector(t, { port })
  const { docker, image, name } = await startDocker(t, 'histograms')
  const [network, server, client] = [name('network'), name('server'), name('client')]
  await docker('network', 'create', network)
  atEnd(t, () => docker('network', 'rm', network))
  const run = async (given: string, ...command: string[]) => {
    atEnd(t, () => docker('rm', '--force', given))
    return docker('run', '--detach', '--network', network, '--name', given, image, ...command)
  }
  await run(server, 'connections', 'listen', '0.0.0.0', '7000')
  const id = await run(client, 'sleep', '600')
  const address = await docker(
    'inspect',
    '--format',
    '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
    server,
  )
  const agent = await startAgent(t, {
    main: join(root, 'otel-config/build/leadline.cjs'),
    receivers: { tcp_connections: { collection_interval: '1s' } },
    processors: { container_attribution: {}, nat_resolution: {} },
    exporters: { otlp_grpc: { endpoint: `http://127.0.0.1:${port}` } },
  })
  const storm = ['connections', 'storm', address, '7000', String(COUNT), '500', 'fin', '100']
  const [established = 0, , , meanNs = 0] = (await docker('exec', client, ...storm)).split(' ').map(Number)
  assert.equal(established, COUNT)
  const labels = { container_id: `/docker/${client}`, destination: `${address}:7000` }
  for (const [metric, onThePage] of [
    ['container.net.tcp.connect.duration', 'container_net_tcp_connect_duration_seconds'],
    ['container.net.tcp.rtt', 'container_net_tcp_rtt_seconds'],
  ] as const) {
    const isOurs = ({ name: of, resource, attributes }: Arrived) =>
      of === metric && resource['container.id'] === id && attributes.destination === labels.destination
    const whole = await until(`all of ${metric}`, () =>
      collector.arrived().find((one) => isOurs(one) && (one.buckets?.count ?? 0) >= COUNT),
    )
    const { buckets } = whole
    assert.deepEqual([whole.kind, whole.unit, whole.scope], ['histogram', 's', 'tcp_connections'])
    assert.ok(buckets)
    assert.deepEqual(buckets.bounds, BOUNDS_S)
    assert.equal(buckets.counts.length, BOUNDS_S.length + 1)
    assert.equal(buckets.count, COUNT)
    assert.equal(
      buckets.counts.reduce((sum, count) => sum + count, 0),
      COUNT,
    )
    // The kernel's handshake is part of what the client waited for in connect(2); a round trip is no longer than that by much.
    const waitedS = (COUNT * meanNs) / 1e9
    assert.ok(
      buckets.sum > 0 && buckets.sum <= waitedS * (metric.endsWith('rtt') ? 2 : 1),
      `${buckets.sum} of ${waitedS} s`,
    )
    assert.deepEqual(whole.attributes.actual_destination, labels.destination)
    const page = onPage(await agent.scrape(), onThePage, labels)
    assert.deepEqual(page.counts, buckets.counts)
    assert.equal(page.sum, buckets.sum)
  }
})
