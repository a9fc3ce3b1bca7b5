// Translation wherever it may happen, through the whole receiver: in the client's own namespace, on the way, twice, both
// ends at once, with rules that change, ports that come again and addresses that are somebody else's too. What is right,
// `conntrack` says.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { keepConntrack, listedByConntrack } from './conntrack_listing.ts'
import { dial, serve } from './dialling.ts'
import { clientRouterServer, inside, type Namespace, translate } from './network.ts'
import { type Collected, connections, keeping, killed, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')
const SERVICE = '10.96.0.1'
const DIALLED = `${SERVICE}:80`

/** Both have a process, as a host and a container have. */
async function network(t: TestContext, isServed = true) {
  const made = clientRouterServer(t)
  if (isServed) await keeping(made.server, 'listen', '::', 8080)
  for (const namespace of [made.client, made.router]) await inside(namespace, namespace.start('sleep', '600'))
  return made
}

const rule = ({ run }: Namespace, chain: 'PREROUTING' | 'OUTPUT', to: string, target = 'DNAT') =>
  run('iptables', '-t', 'nat', '-A', chain, '-p', 'tcp', '-d', to, '--dport', '80', '-j', ...target.split(' '))
const dnat = (to: string) => `DNAT --to-destination ${to}`

const sumOf = (counts: Record<string, number>) => Object.values(counts).reduce((sum, count) => sum + count, 0)
const isOver = (seen: Collected) => seen.sum('active_connections') === 0

test('a sidecar: what it takes in the container’s own namespace is answered by it', needs, async (t) => {
  const { client } = await network(t)
  rule(client, 'OUTPUT', '10.77.2.2', 'REDIRECT --to-ports 15001')
  await keeping(client, 'listen', '0.0.0.0', 15001)
  keepConntrack(client)
  const receiver = await startReceiver(t, { inside: [client] })
  for (const [end, from] of [
    ['fin', 20_000],
    ['rst', 30_000],
  ] as const) {
    await connections(client, 'storm', '10.77.2.2', 80, 300, 2000, end, 10, from)
  }
  const now = await receiver.collectUntil((seen) => isOver(seen) && seen.sum('bytes_sent') === 6000)
  const truth = listedByConntrack(client)
  assert.deepEqual(truth, { '127.0.0.1:15001': 600 })
  assert.deepEqual(now.answered('successful_connects', '10.77.2.2:80'), truth)
  assert.equal(now.sum('bytes_sent', { destination: '10.77.2.2:80' }), 6000)
  const resets = await receiver.collectUntil((seen) => seen.sum('resets', { direction: 'sent' }) === 300)
  assert.deepEqual(resets.answered('resets', '10.77.2.2:80'), { '127.0.0.1:15001': 300 })
})

test('translated at both ends, and twice: in the client’s namespace and again on the way', needs, async (t) => {
  const { client, router, server } = await network(t)
  rule(client, 'OUTPUT', '10.50.0.1', dnat(DIALLED))
  rule(router, 'PREROUTING', SERVICE, dnat('10.77.2.3:8080'))
  router.run('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-d', '10.77.2.3', '-j', 'MASQUERADE')
  const receiver = await startReceiver(t, { inside: [client], initial: router })
  for (const end of ['fin', 'rst']) {
    for (const address of [SERVICE, '10.50.0.1']) await connections(client, 'storm', address, 80, 200, 2000, end, 10)
  }
  const held = await keeping(client, 'hold', '10.50.0.1', 80, 5)
  // The server knows the router only.
  const peers = server.run('ss', '-tnH', 'state', 'established', 'sport', '=', ':8080')
  assert.equal(peers.match(/10\.77\.2\.3\]?:8080\s+\S*10\.77\.2\.1\]?:/g)?.length, 5, peers)
  const now = await receiver.collectUntil((seen) => seen.sum('active_connections') === 5)
  assert.deepEqual(now.answered('successful_connects', DIALLED), { '10.77.2.3:8080': 400 })
  assert.deepEqual(now.answered('successful_connects', '10.50.0.1:80'), { '10.77.2.3:8080': 405 })
  assert.deepEqual(now.answered('active_connections', '10.50.0.1:80'), { '10.77.2.3:8080': 5 })
  await killed(held.child)
})

test('IPv6 is translated as IPv4 is', needs, async (t) => {
  const { client, router } = await network(t)
  const given = '-t nat -A PREROUTING -p tcp -d fd96::1 --dport 80 -j DNAT --to-destination [fd77:2::3]:8080'
  router.run('ip6tables', ...given.split(' '))
  const receiver = await startReceiver(t, { inside: [client], initial: router })
  for (const end of ['fin', 'rst']) await connections(client, 'storm', 'fd96::1', 80, 200, 2000, end)
  const now = await receiver.collectUntil(isOver)
  assert.deepEqual(now.answered('successful_connects', '[fd96::1]:80'), { '[fd77:2::3]:8080': 400 })
})

test('a refusal behind a service is told with who refused', needs, async (t) => {
  const { client, router } = await network(t, false)
  rule(router, 'PREROUTING', SERVICE, dnat('10.77.2.3:8081'))
  const receiver = await startReceiver(t, { inside: [client], initial: router })
  const [established] = await connections(client, 'storm', SERVICE, 80, 200, 2000, 'fin')
  assert.equal(established, 0)
  const now = await receiver.collectUntil((seen) => seen.sum('failed_connects') === 200)
  assert.deepEqual(now.answered('failed_connects', DIALLED), { '10.77.2.3:8081': 200 })
  assert.deepEqual(now.answered('connect.failures', DIALLED), { '10.77.2.3:8081': 200 })
  assert.equal(now.sum('connect.failures', { destination: DIALLED, 'error.type': 'refused' }), 200)
})

test('rules that change while connections live: each keeps the server that it has', needs, async (t) => {
  const { client, router } = await network(t)
  const receiver = await startReceiver(t, { inside: [client], initial: router })
  rule(router, 'PREROUTING', SERVICE, dnat('10.77.2.2:8080'))
  const early = await keeping(client, 'hold', SERVICE, 80, 30, 10)
  router.run('iptables', '-t', 'nat', '-F')
  rule(router, 'PREROUTING', SERVICE, dnat('10.77.2.3:8080'))
  const late = await keeping(client, 'hold', SERVICE, 80, 20, 10)
  await connections(client, 'storm', SERVICE, 80, 200, 2000, 'rst')
  const now = await receiver.collectUntil((seen) => seen.sum('active_connections') === 50)
  assert.deepEqual(now.answered('active_connections', DIALLED), { '10.77.2.2:8080': 30, '10.77.2.3:8080': 20 })
  assert.deepEqual(now.answered('successful_connects', DIALLED), { '10.77.2.2:8080': 30, '10.77.2.3:8080': 220 })
  await killed(early.child)
  const end = await receiver.collectUntil((seen) => seen.sum('active_connections') === 20)
  assert.deepEqual(end.answered('active_connections', DIALLED), { '10.77.2.2:8080': 0, '10.77.2.3:8080': 20 })
  assert.deepEqual(end.answered('successful_connects', DIALLED), { '10.77.2.2:8080': 30, '10.77.2.3:8080': 220 })
  assert.deepEqual(end.answered('bytes_sent', DIALLED), { '10.77.2.2:8080': 300, '10.77.2.3:8080': 200 })
  await killed(late.child)
})

test(
  'a rule for some users only: the proxy’s own dials teach nothing of what is sent to the proxy',
  needs,
  async (t) => {
    const { client } = await network(t)
    const forOthers = '-t nat -A OUTPUT -p tcp --dport 8080 -m owner ! --uid-owner 1337 -j REDIRECT --to-ports 15001'
    client.run('iptables', ...forOthers.split(' '))
    await keeping(client, 'listen', '0.0.0.0', 15001)
    const receiver = await startReceiver(t, { inside: [client] })
    const storm = ['storm', '10.77.2.2', '8080', '20', '0', 'rst']
    const tool = buildTool('connections')
    for (let i = 1; i <= 3; i++) {
      assert.match(client.run('setpriv', '--reuid=1337', '--clear-groups', tool, ...storm), /^20 0 /)
      await receiver.collectUntil((seen) => seen.sum('successful_connects') === 40 * i - 20)
      assert.match(client.run(tool, ...storm), /^20 0 /)
      await receiver.collectUntil((seen) => seen.sum('successful_connects') === 40 * i)
    }
    const now = await receiver.collect()
    assert.deepEqual(now.answered('successful_connects', '10.77.2.2:8080'), {
      '10.77.2.2:8080': 60,
      '127.0.0.1:15001': 60,
    })
  },
)

test('what answered itself until a rule came is known to be translated within milliseconds', needs, async (t) => {
  const { client, router, server } = await network(t)
  server.run('ip', 'route', 'add', 'local', '198.18.0.0/24', 'dev', 'lo')
  router.run('ip', 'route', 'add', '198.18.0.0/24', 'via', '10.77.2.2')
  const receiver = await startReceiver(t, { inside: [client], initial: router })
  const late: number[] = []
  // A busy machine may hold us up once, but hardly three times.
  for (const address of ['198.18.0.1', '198.18.0.2', '198.18.0.3']) {
    const storm = (count: number) => connections(client, 'storm', address, 8080, count, 2000, 'rst')
    const connects = (seen: Collected) => seen.answered('successful_connects', `${address}:8080`)
    await storm(100)
    await receiver.collectUntil((seen) => connects(seen)[`${address}:8080`] === 100)
    const stormed = storm(1000)
    await sleep(150)
    translate(router, 'PREROUTING', address, '10.77.2.3')
    await stormed
    const now = await receiver.collectUntil((seen) => isOver(seen) && sumOf(connects(seen)) === 1100)
    // The first packet of a connection passes the rules, no other.
    const rules = router.run('iptables', '-t', 'nat', '-L', 'PREROUTING', '-nvx').split('\n')
    const translated = Number.parseInt(rules.find((line) => line.includes(` ${address} `)) ?? '', 10)
    assert.ok(translated > 100, `${translated} were translated`)
    late.push(translated - (connects(now)['10.77.2.3:8080'] ?? 0))
  }
  t.diagnostic(`${late} of 2000 a second were counted for whom they dialled`)
  assert.ok(Math.min(...late) >= 0 && Math.min(...late) < 60, `${late}`)
})

test('source ports that come again and again, with another server behind the service each time', needs, async (t) => {
  const { client, router } = await network(t)
  // The kernel takes every second one while it can, so each of these is used about six times.
  client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=30000 30399')
  const receiver = await startReceiver(t, { inside: [client], initial: router })
  let made = 0
  for (const address of ['10.77.2.2', '10.77.2.3', '10.77.2.2', '10.77.2.3']) {
    router.run('iptables', '-t', 'nat', '-F')
    rule(router, 'PREROUTING', SERVICE, dnat(`${address}:8080`))
    const [established = 0] = await connections(client, 'storm', SERVICE, 80, 300, 2000, 'rst')
    made += established
  }
  assert.equal(made, 1200)
  const now = await receiver.collectUntil(isOver)
  assert.deepEqual(now.answered('successful_connects', DIALLED), { '10.77.2.2:8080': 600, '10.77.2.3:8080': 600 })
})

test('two containers with the same addresses, the same ports and other servers are told apart', needs, async (t) => {
  const [one, other] = [await network(t, false), await network(t, false)]
  const [first, second] = ['10.77.2.2:8080', '10.77.2.3:8080']
  rule(one.router, 'PREROUTING', SERVICE, dnat(first))
  rule(other.client, 'OUTPUT', SERVICE, dnat(second))
  for (const { server } of [one, other]) await serve(server, 8080)
  const clients = [one.client, other.client]
  const receiver = await startReceiver(t, { inside: clients, initial: one.router })
  const dials = Array.from(
    { length: 400 },
    (_, i) => ({ to: SERVICE, port: 80, localPort: 42_000 + i, end: 'rst' }) as const,
  )
  const reached = await Promise.all(
    clients.map(async (client) => (await dial(client, ...dials)).map((one) => one.reached)),
  )
  assert.deepEqual(reached, [Array(400).fill(first), Array(400).fill(second)])
  const now = await receiver.collectUntil(isOver)
  const of = ({ inode }: Namespace) =>
    now.points.flatMap(({ subject, metric, value }) =>
      metric === 'successful_connects' && subject.kind === 'flow' && subject.key.includes(` ${inode} `)
        ? [[subject.actualDestination, value]]
        : [],
    )
  assert.deepEqual(of(one.client), [[first, 400]])
  assert.deepEqual(of(other.client), [[second, 400]])
})
