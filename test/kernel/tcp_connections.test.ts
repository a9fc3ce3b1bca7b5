// Real connections between network namespaces, counted: against what the programs that made them saw themselves, `ss`,
// and the kernel's own counters.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer, type Namespace } from './network.ts'
import { connections, connectionsIn, keeping, killed, makeCgroup, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf')

for (const [family, address, written] of [
  ['IPv4', '10.77.2.2', '10.77.2.2:7000'],
  ['IPv6', 'fd77:2::2', '[fd77:2::2]:7000'],
] as const) {
  test(`${family}: connects, bytes, resets and accepts are exactly what was done`, needs, async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', family === 'IPv4' ? '0.0.0.0' : '::', 7000)
    const receiver = await startReceiver(t, { inside: [client, server] })
    const [established, failed, sent] = await connections(client, 'storm', address, 7000, 2000, 0, 'fin', 321)
    const [reset] = await connections(client, 'storm', address, 7000, 1000, 0, 'rst')
    await connections(client, 'wait', address, 7999, 3)
    const destination = { destination: written }
    const inbound = { listen_addr: written }
    const now = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections', inbound) === 0)
    assert.deepEqual([established, failed, reset], [2000, 0, 1000])
    assert.equal(now.sum('successful_connects', destination), 3000)
    assert.equal(now.sum('failed_connects', destination), 0)
    assert.equal(now.sum('active_connections', destination), 0)
    assert.equal(now.sum('bytes_sent', destination), sent)
    assert.equal(now.sum('bytes_received', destination), 0)
    assert.ok(now.sum('connection.time', destination) > 0)
    assert.equal(now.sum('connect.duration.count', destination), 3000)
    assert.equal(now.sum('connect.duration', destination), now.sum('connection.time', destination))
    assert.equal(now.sum('rtt.count', destination), 3000)
    assert.ok(
      now.sum('rtt', destination) > 0 && now.sum('rtt', destination) < now.sum('connection.time', destination) * 100,
    )
    assert.equal(now.sum('resets', { ...destination, direction: 'sent' }), 1000)
    assert.equal(now.sum('inbound.accepts', inbound), 3000)
    assert.equal(now.sum('inbound.bytes_received', inbound), sent)
    assert.equal(now.sum('resets', { ...inbound, direction: 'received' }), 1000)
    const refused = { destination: written.replace('7000', '7999'), 'error.type': 'refused' }
    assert.equal(now.sum('connect.failures', refused), 3)
    // A listener on every address is told by the addresses that its namespace has, of the right family.
    assert.equal(now.sum('listen.info', { listen_addr: written }), 1)
    const both = now.sum('listen.info', { listen_addr: '10.77.2.3:7000' })
    assert.equal(both, 1)
    assert.equal(now.sum('listen.info', { listen_addr: '[fd77:2::3]:7000' }), family === 'IPv4' ? 0 : 1)
  })
}

test('loopback is another one in each namespace: who dials there, who listens there', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  const made = { [client.inode]: 30, [server.inode]: 50 }
  for (const namespace of [client, server]) await keeping(namespace, 'listen', '127.0.0.1', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  for (const one of [client, server])
    await connections(one, 'storm', '127.0.0.1', 7000, made[one.inode] ?? 0, 0, 'fin', 10)
  const now = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections') === 0)
  const byNamespace = (metric: string, attribute: 'destination' | 'listen_addr') =>
    Object.fromEntries(
      now.points
        .filter((point) => point.metric === metric && point.attributes[attribute] === '127.0.0.1:7000')
        .map(({ attributes, value }) => [attributes.netns, value]),
    )
  assert.deepEqual(byNamespace('successful_connects', 'destination'), made)
  assert.deepEqual(byNamespace('inbound.accepts', 'listen_addr'), made)
  assert.deepEqual(byNamespace('listen.info', 'listen_addr'), { [client.inode]: 1, [server.inode]: 1 })
})

test('failures are told by their cause, and what is given up is one', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  router.run('iptables', '-A', 'FORWARD', '-d', '10.77.2.9', '-j', 'DROP')
  router.run('ip', 'route', 'add', 'unreachable', '198.51.100.0/24')
  client.run('sysctl', '-qw', 'net.ipv4.tcp_syn_retries=1', 'net.ipv4.tcp_syn_linear_timeouts=0')
  const receiver = await startReceiver(t, { inside: [client, server] })
  const [, timedOut, nobody, noNetwork] = await Promise.all([
    connections(client, 'giveup', '10.77.2.9', 7001, 50, 200),
    connections(client, 'wait', '10.77.2.9', 7002, 1),
    connections(client, 'wait', '198.51.100.1', 7003, 1),
    connections(client, 'wait', '192.0.2.1', 7004, 1),
  ])
  assert.deepEqual([timedOut, nobody, noNetwork], [[110], [113], [101]])
  const now = await receiver.collect()
  const failures = (destination: string, type: string) =>
    now.sum('connect.failures', { destination, 'error.type': type })
  assert.equal(failures('10.77.2.9:7001', 'abandoned'), 50)
  assert.equal(failures('10.77.2.9:7002', 'timed_out'), 1)
  assert.equal(failures('198.51.100.1:7003', 'host_unreachable'), 1)
  assert.equal(failures('192.0.2.1:7004', 'net_unreachable'), 1)
  assert.equal(now.sum('failed_connects', { destination: '10.77.2.9:7001' }), 50)
  assert.equal(now.sum('successful_connects', { destination: '10.77.2.9:7001' }), 0)
  // The SYNs that were sent in vain: one was repeated once.
  assert.equal(now.sum('retransmits', { destination: '10.77.2.9:7002' }), 1)
})

test('every connection of a thousand processes that live for less than a millisecond is counted', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const [established] = await connections(client, 'fork', '10.77.2.2', 7000, 1000, 0)
  const now = await receiver.collect()
  assert.equal(established, 1000)
  assert.equal(now.sum('successful_connects', { destination: '10.77.2.2:7000' }), 1000)
})

test(
  'without BPF: what is open, its bytes and who listens, and no number for what cannot be known',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    const { child } = await keeping(client, 'hold', '10.77.2.2', 7000, 200, 1000)
    const receiver = await startReceiver(t, { inside: [client, server], config: { source: 'sock_diag' } })
    const destination = { destination: '10.77.2.2:7000' }
    const now = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 200)
    assert.equal(now.sum('active_connections', destination), 200)
    assert.equal(now.sum('bytes_sent', destination), 200_000)
    assert.equal(now.sum('inbound.active_connections', { listen_addr: '10.77.2.2:7000' }), 200)
    assert.equal(now.sum('inbound.bytes_received', { listen_addr: '10.77.2.2:7000' }), 200_000)
    assert.equal(now.sum('listen.info', { listen_addr: '10.77.2.2:7000' }), 1)
    assert.deepEqual(now.answered('active_connections', '10.77.2.2:7000'), { '10.77.2.2:7000': 200 })
    for (const absent of ['successful_connects', 'failed_connects', 'connection.time', 'inbound.accepts']) {
      assert.equal(now.points.filter(({ metric }) => metric === absent).length, 0, absent)
    }
    await killed(child)
    const end = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
    assert.equal(end.sum('active_connections', destination), 0)
    assert.equal(end.sum('bytes_sent', destination), 200_000)
  },
)

test(
  'a port scan neither blinds nor bloats: what is too much is one destination, and nothing is lost',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    const cgroup = makeCgroup(t)
    const receiver = await startReceiver(t, { inside: [], cgroup, config: { max_destinations: 100 } })
    const [refused] = await connectionsIn(cgroup, client, 'scan', '10.77.2.2', 10_000, 30_000)
    assert.equal(refused, 30_000)
    const [established] = await connectionsIn(cgroup, client, 'storm', '10.77.2.2', 7000, 500, 0, 'fin')
    const now = await receiver.collect()
    const told = new Set(
      now.points.filter(({ metric }) => metric === 'failed_connects').map(({ attributes }) => attributes.destination),
    )
    assert.ok(told.size <= 101, `${told.size} destinations`)
    assert.equal(now.sum('failed_connects'), 30_000)
    assert.equal(now.sum('successful_connects'), established)
  },
)

/** What `ss` says of the connections to an address: sums over all. */
function ss({ run }: Namespace, address: string): { sockets: number; sent: number; retransmits: number } {
  const text = run('ss', '-tinH', 'state', 'established', 'dst', address)
  const all = (what: RegExp) => Array.from(text.matchAll(what), ([, number]) => Number(number))
  const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)
  return {
    sockets: all(/:(7000)\b/g).length,
    sent: sum(all(/bytes_sent:(\d+)/g)) - sum(all(/bytes_retrans:(\d+)/g)),
    retransmits: sum(all(/ retrans:\d+\/(\d+)/g)),
  }
}

test('under real loss, bytes and retransmits of open connections are those of ss', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  server.run(
    'iptables',
    '-A',
    'INPUT',
    '-p',
    'tcp',
    '-m',
    'statistic',
    '--mode',
    'random',
    '--probability',
    '0.03',
    '-j',
    'DROP',
  )
  await keeping(client, 'hold', '10.77.2.2', 7000, 40, 200_000)
  server.run('iptables', '-F', 'INPUT')
  await until('all has arrived', () => /ESTAB\s+0\s+[1-9]/.test(client.run('ss', '-tnH', 'dst', '10.77.2.2')) === false)
  const truth = ss(client, '10.77.2.2')
  const now = await receiver.collect()
  assert.equal(truth.sockets, 40)
  assert.ok(truth.retransmits > 0, 'nothing was lost')
  assert.equal(now.sum('active_connections', { destination: '10.77.2.2:7000' }), 40)
  assert.equal(now.sum('bytes_sent', { destination: '10.77.2.2:7000' }), truth.sent)
  assert.equal(truth.sent, 8_000_000)
  assert.equal(now.sum('retransmits', { destination: '10.77.2.2:7000' }), truth.retransmits)
  assert.equal(now.sum('inbound.bytes_received', { listen_addr: '10.77.2.2:7000' }), 8_000_000)
})

test('a half-closed connection is open until it is closed', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '10.77.2.2', 7000, 64)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const { child } = await keeping(client, 'half', '10.77.2.2', 7000, 20)
  const destination = { destination: '10.77.2.2:7000' }
  assert.equal((await receiver.collect()).sum('active_connections', destination), 20)
  // Nobody accepts them, and still they are open there.
  assert.equal((await receiver.collect()).sum('inbound.active_connections', { listen_addr: '10.77.2.2:7000' }), 20)
  await killed(child)
  const now = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
  assert.equal(now.sum('active_connections', destination), 0)
  assert.equal(now.sum('successful_connects', destination), 20)
})

test('what a listener throws away because its queue is full is as much as ss tells', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '10.77.2.2', 7000, 4)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const before = await receiver.collect()
  await connections(client, 'giveup', '10.77.2.2', 7000, 50, 300)
  const drops = Number(/,d(\d+)\)/.exec(server.run('ss', '-tlnmH', 'sport', '=', ':7000'))?.[1])
  const now = await receiver.collect()
  const dropped = (seen: typeof now) => seen.sum('listen.drops', { listen_addr: '10.77.2.2:7000' })
  assert.ok(drops > 0)
  assert.equal(dropped(now) - dropped(before), drops)
})
