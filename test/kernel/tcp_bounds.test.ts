// What is told apart and what is folded, what is forgotten, what addresses a listener has, and what is known without BPF;
// through the whole receiver.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer, inside, type Namespace } from './network.ts'
import {
  type Collected,
  connections,
  connectionsIn,
  keeping,
  keepingIn,
  killed,
  makeCgroup,
  pathOf,
  startReceiver,
} from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')

/** How many connects each destination had. */
function connectsOf(seen: Collected): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { metric, value, attributes } of seen.points) {
    if (metric === 'successful_connects') sums[String(attributes.destination)] = value
  }
  return sums
}

/** Lets the server answer at all addresses of these networks. */
function answersFor({ client, server }: { client: Namespace; server: Namespace }, ...networks: string[]): void {
  for (const network of networks) {
    const family = network.includes(':') ? '-6' : '-4'
    server.run('ip', family, 'route', 'add', 'local', network, 'dev', 'lo')
    client.run('ip', family, 'route', 'add', network, 'via', family === '-6' ? 'fd77:1::1' : '10.77.1.1')
  }
}

test('filters: networks and the internet share a destination, but for the networks that are kept', needs, async (t) => {
  const network = clientRouterServer(t)
  const { client, router, server } = network
  const networks = ['203.0.113.0/24', '198.51.100.0/24', '8.8.8.0/24', '2600::/32']
  answersFor(network, ...networks)
  for (const one of networks)
    router.run('ip', 'route', 'add', one, 'via', one.includes(':') ? 'fd77:2::2' : '10.77.2.2')
  for (const port of [443, 40_001]) await keeping(server, 'listen', '::', port)
  const config = {
    fold_networks: ['203.0.113.0/24'],
    keep_networks: ['8.8.8.8/32'],
    fold_public: true,
  }
  const receiver = await startReceiver(t, { inside: [client], config })
  for (const [address, port] of [
    ['203.0.113.1', 443],
    ['203.0.113.2', 443],
    ['198.51.100.1', 443],
    ['8.8.8.4', 443],
    ['8.8.8.8', 443],
    ['8.8.8.8', 40_001],
    ['2600::1', 443],
    ['10.77.2.2', 443],
    ['10.77.2.3', 443],
  ] as const) {
    await connections(client, 'storm', address, port, 10, 0, 'fin')
  }
  const now = await receiver.collect()
  assert.deepEqual(connectsOf(now), {
    '203.0.113.0/24:443': 20,
    'public:443': 30,
    '8.8.8.8:443': 10,
    '8.8.8.8:40001': 10,
    '10.77.2.2:443': 10,
    '10.77.2.3:443': 10,
  })
})

test('ports that are folded are one destination with those that are too many', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  for (const port of [443, 40_001, 40_002]) await keeping(server, 'listen', '10.77.2.2', port)
  const cgroup = makeCgroup(t)
  const receiver = await startReceiver(t, { inside: [], cgroup, config: { fold_ports: '40000-50000' } })
  for (const port of [443, 40_001, 40_002])
    await connectionsIn(cgroup, client, 'storm', '10.77.2.2', port, 10, 0, 'fin')
  assert.deepEqual(connectsOf(await receiver.collect()), { '10.77.2.2:443': 10, other: 20 })
})

test('what is folded into a network does not use up the destinations of its control group', needs, async (t) => {
  const network = clientRouterServer(t)
  answersFor(network, '198.18.0.0/15')
  network.router.run('ip', 'route', 'add', '198.18.0.0/15', 'via', '10.77.2.2')
  await keeping(network.server, 'listen', '0.0.0.0', 443)
  const cgroup = makeCgroup(t)
  const config = { fold_networks: ['198.18.0.0/15'], max_destinations: 100 }
  const receiver = await startReceiver(t, { inside: [], cgroup, config })
  const expected = { '198.18.0.0/15:443': 6000 }
  for (let i = 0; i < 3; i++) await connectionsIn(cgroup, network.client, 'crawl', '198.18.0.0', 443, 2000)
  const now = await receiver.collectUntil((seen) => isDeepStrictEqual(connectsOf(seen), expected))
  assert.deepEqual(connectsOf(now), expected)
})

test('a table full of what others have dialled leaves each control group a place of its own', needs, async (t) => {
  const network = clientRouterServer(t)
  const { client, router, server } = network
  answersFor(network, '198.18.0.0/15')
  router.run('ip', 'route', 'add', '198.18.0.0/15', 'via', '10.77.2.2')
  await inside(client, client.start('sleep', '600'))
  await keeping(server, 'listen', '0.0.0.0', 443)
  const cgroups = Array.from({ length: 9 }, (_, i) => makeCgroup(t, `leadline-full-${process.pid}-${i}`))
  const receiver = await startReceiver(t)
  const sums = ({ points }: Collected, name: string) =>
    cgroups.map((cgroup) =>
      points.reduce(
        (sum, { subject, metric, value }) => (metric === name && pathOf(subject) === `/${cgroup}` ? sum + value : sum),
        0,
      ),
    )
  const crawl = (cgroup = '') => connectionsIn(cgroup, client, 'crawl', '198.18.0.0', 443, 1900)
  await crawl(cgroups[0])
  await receiver.collectUntil((seen) => sums(seen, 'successful_connects')[0] === 1900)
  for (const cgroup of cgroups) await crawl(cgroup)
  const connects = [3800, ...Array<number>(8).fill(1900)]
  const full = await receiver.collectUntil((seen) => isDeepStrictEqual(sums(seen, 'successful_connects'), connects))
  assert.deepEqual(sums(full, 'successful_connects'), connects)
  assert.ok(((await receiver.losses()).folded ?? 0) > 4000)
  assert.equal((await receiver.losses()).lost, 0)

  // The last one has no destination of its own any more.
  const held = await keepingIn(cgroups[8] ?? '', client, 'hold', '198.18.0.5', 443, 100, 10)
  const open = [...Array<number>(8).fill(0), 100]
  const now = await receiver.collectUntil((seen) => isDeepStrictEqual(sums(seen, 'active_connections'), open))
  assert.deepEqual(sums(now, 'active_connections'), open)
  await killed(held)
  const end = await receiver.collectUntil((seen) => sums(seen, 'active_connections')[8] === 0)
  assert.deepEqual(sums(end, 'active_connections'), Array(9).fill(0))
  assert.equal(sums(end, 'successful_connects')[8], 2000)
})

test(
  'a destination where nothing happens any more is forgotten, and begins anew when something does',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    const receiver = await startReceiver(t, { inside: [client], config: { forget_after: '1s' } })
    const { child } = await keeping(client, 'hold', '10.77.2.2', 7000, 1)
    await connections(client, 'storm', '10.77.2.3', 7000, 100, 0, 'fin')
    assert.deepEqual(connectsOf(await receiver.collect()), { '10.77.2.2:7000': 1, '10.77.2.3:7000': 100 })
    // What is open is not idle, however long it is silent.
    await until('the idle one is forgotten', async () => !('10.77.2.3:7000' in connectsOf(await receiver.collect())))
    assert.deepEqual(connectsOf(await receiver.collect()), { '10.77.2.2:7000': 1 })
    await connections(client, 'storm', '10.77.2.3', 7000, 7, 0, 'fin')
    assert.deepEqual(connectsOf(await receiver.collect()), { '10.77.2.2:7000': 1, '10.77.2.3:7000': 7 })
    await killed(child)
  },
)

for (const [bound, families] of [
  ['0.0.0.0', [4]],
  ['::', [4, 6]],
] as const) {
  test(`a listener on ${bound} has the addresses of its namespace, and follows them`, needs, async (t) => {
    const { client, router, server } = clientRouterServer(t)
    // Who listens is told of the whole machine, and others have the same addresses.
    await keeping(server, 'listen', bound, 17163)
    // Joined to the host's namespace, as containers are: changes are heard of at once.
    await inside(router, router.start('sleep', '600'))
    const receiver = await startReceiver(t, { inside: [client, server], initial: router })
    const told = async () =>
      (await receiver.collect()).points
        .filter(({ metric, attributes }) => metric === 'listen.info' && `${attributes.listen_addr}`.endsWith(':17163'))
        .map(({ attributes }) => String(attributes.listen_addr))
        .filter((address) => /77:|10\.77/.test(address))
        .toSorted()
    /** As `ip address` has them. */
    const truth = () =>
      [...server.run('ip', '-o', 'address').matchAll(/inet(6?) (\S+)\/\d+ scope global/g)]
        .filter(([, six]) => families.some((family) => (family === 6) === (six === '6')))
        .map(([, six, address]) => (six === '6' ? `[${address}]:17163` : `${address}:17163`))
        .toSorted()
    assert.deepEqual(await told(), truth())
    assert.equal(truth().length, families.length * 2)
    server.run('ip', 'address', 'add', '10.77.9.9/32', 'dev', 'lo', 'scope', 'global')
    server.run('ip', 'address', 'add', 'fd77:9::9/128', 'dev', 'lo', 'nodad')
    assert.equal(truth().length, families.length * 3)
    assert.deepEqual(await told(), truth())
    server.run('ip', 'address', 'flush', 'dev', 'lo', 'scope', 'global')
    assert.equal(truth().length, families.length * 2)
    assert.deepEqual(await told(), truth())
  })
}

test('without BPF round trips are known as well, and what ended between two looks is not made up', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server], config: { source: 'sock_diag' } })
  const { child } = await keeping(client, 'hold', '10.77.2.2', 7000, 50, 1000)
  const destination = { destination: '10.77.2.2:7000' }
  const now = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 50)
  const rtts = [...client.run('ss', '-tinH', 'dst', '10.77.2.2').matchAll(/\brtt:([\d.]+)\//g)].map(([, ms]) =>
    Number(ms),
  )
  assert.equal(rtts.length, 50)
  assert.equal(now.sum('rtt.count', destination), 50)
  const sumMs = rtts.reduce((sum, ms) => sum + ms, 0)
  assert.ok(
    Math.abs(now.sum('rtt', destination) * 1000 - sumMs) < 0.05 * sumMs + 0.1,
    `${now.sum('rtt', destination)} ${sumMs}`,
  )
  const minimum = now.sum('rtt.min', destination)
  assert.ok(minimum > 0 && minimum * 1000 <= Math.max(...rtts), String(minimum))
  await killed(child)
  await connections(client, 'storm', '10.77.2.2', 7000, 500, 0, 'rst', 10)
  const end = await receiver.collectUntil((seen) => seen.sum('active_connections') === 0)
  assert.equal(end.sum('bytes_sent', destination), 50_000)
  const told = new Set(end.points.map(({ metric }) => metric))
  for (const absent of ['successful_connects', 'failed_connects', 'connect.failures', 'resets', 'connect.duration']) {
    assert.ok(!told.has(absent), absent)
  }
})
