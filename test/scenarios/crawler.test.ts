// A container that dials a hundred thousand destinations, as a crawler or a port scan does: the agent neither grows with
// them nor loses sight of the others, and says what it has folded.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startAgent } from '../agent.ts'
import { clientRouterServer } from '../kernel/network.ts'
import { connectionsIn, keeping, makeContainer } from '../kernel/tcp.ts'
import { requires } from '../requires.ts'

const DESTINATIONS = 100_000
const AGAIN = 20_000
/** What one control group may have by default, and the one that stands for the rest. */
const MOST = 2000 + 1
/** With some fifty thousand samples on the page: 2000 destinations with two histograms each. Without a bound it would be a gigabyte. */
const MOST_RSS_BYTES = 280 * 2 ** 20
const CONNECTS = 'container_net_tcp_successful_connects_total'

test('a crawler with a hundred thousand destinations', requires('root', 'addon', 'bpf'), async (t) => {
  const { client, router, server } = clientRouterServer(t)
  // 131 072 addresses that the server answers for.
  server.run('ip', 'route', 'add', 'local', '198.18.0.0/15', 'dev', 'lo')
  router.run('ip', 'route', 'add', '198.18.0.0/15', 'via', '10.77.2.2')
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const [crawler, other] = [1, 2].map(() => makeContainer(t))
  const idOf = (cgroup = '') => ({ container_id: `/docker/${cgroup.slice('docker/'.length, 'docker/'.length + 12)}` })
  const agent = await startAgent(t, {
    launcher: true,
    receivers: { tcp_connections: {} },
    processors: { container_attribution: {}, nat_resolution: {} },
  })
  await agent.scrape()

  const [[answered], [made]] = await Promise.all([
    connectionsIn(crawler ?? '', client, 'crawl', '198.18.0.0', 7000, DESTINATIONS),
    connectionsIn(other ?? '', client, 'storm', '10.77.2.2', 7000, 3000, 1000, 'rst', 10),
  ])
  assert.deepEqual([answered, made], [DESTINATIONS, 3000])
  let page = await agent.scrape()
  const connects = page.all(CONNECTS, idOf(crawler))
  assert.equal(
    connects.reduce((sum, { value }) => sum + value, 0),
    DESTINATIONS,
    'folded, not lost',
  )
  const destinations = new Set(connects.map(({ labels }) => labels.destination))
  assert.ok(destinations.size <= MOST && destinations.has('other'), `${destinations.size} destinations`)
  assert.equal(page.value(CONNECTS, { ...idOf(other), destination: '10.77.2.2:7000' }), 3000)
  assert.equal(
    page.value('container_net_tcp_bytes_sent_total', { ...idOf(other), destination: '10.77.2.2:7000' }),
    30_000,
  )
  const losses = (cause: string) => page.value('otelcol_receiver_tcp_losses_total', { cause }) ?? 0
  assert.equal(losses('lost'), 0)
  assert.ok(losses('folded') >= DESTINATIONS - MOST, `${losses('folded')} folded`)

  // A second crawl finds nothing that grows any more.
  const { rssBytes } = agent.memory()
  assert.ok(rssBytes < MOST_RSS_BYTES, `${Math.round(rssBytes / 2 ** 20)} MiB`)
  t.diagnostic(
    `${Math.round(rssBytes / 2 ** 20)} MiB resident, ${page.samples.length} samples, ${destinations.size} destinations`,
  )
  await connectionsIn(crawler ?? '', client, 'crawl', '198.19.0.0', 7000, AGAIN)
  await connectionsIn(other ?? '', client, 'storm', '10.77.2.3', 7000, 500, 0, 'rst')
  page = await agent.scrape()
  assert.equal(
    page.value(CONNECTS, { ...idOf(other), destination: '10.77.2.3:7000' }),
    500,
    'others are still told apart',
  )
  const sum = page.all(CONNECTS, idOf(crawler)).reduce((all, { value }) => all + value, 0)
  assert.equal(sum, DESTINATIONS + AGAIN)
  t.diagnostic(`${Math.round(agent.memory().rssBytes / 2 ** 20)} MiB resident after the second`)
  assert.ok(agent.memory().rssBytes < MOST_RSS_BYTES, `${Math.round(agent.memory().rssBytes / 2 ** 20)} MiB`)
})
