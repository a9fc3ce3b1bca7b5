// Every way in which a socket comes to be connected, fails or changes hands, each with a number that is known: what the
// programs did and saw themselves, `ss`, the kernel's own counters.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { readLayout } from '../../receivers/host/layout.ts'
import { withPort } from '../../receivers/tcp_connections/filter.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { clientRouterServer, type Namespace } from './network.ts'
import {
  type Collected,
  connections,
  keeping,
  killed,
  makeCgroup,
  makeContainer,
  pathOf,
  startReceiver,
} from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')
const TO = '10.77.2.2:7000'

/** Of `/proc/net/snmp` in a namespace, as the kernel counted since it was made. */
function snmp({ run }: Namespace, name: string): number {
  const [names = '', values = ''] = [...run('cat', '/proc/net/snmp').matchAll(/^Tcp: (.*)$/gm)].map(([, line]) => line)
  return Number(values.split(' ')[names.split(' ').indexOf(name)])
}

/** Whether every connection of a namespace is over, for the kernel too. */
const isQuiet = ({ run }: Namespace) =>
  run('ss', '-tanH')
    .split('\n')
    .filter((line) => line !== '' && !/^(LISTEN|TIME-WAIT)/.test(line)).length === 0

const isOver = (seen: Collected) => seen.sum('inbound.active_connections') === 0 && seen.sum('active_connections') === 0

test('connections by io_uring: in the own task, in its worker threads and by its poller', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const cgroup = makeCgroup(t)
  const [receiver, all] = [await startReceiver(t, { inside: [], cgroup }), { established: 0, sent: 0, refused: 0 }]
  const procs = join(readLayout('/sys/fs/cgroup').root, cgroup, 'cgroup.procs')
  for (const where of ['self', 'worker', 'poller']) {
    for (const port of [7000, 7999]) {
      const command = `echo $$ > ${procs}; exec ip netns exec ${client.name} ${buildTool('uring')} 10.77.2.2 ${port} 200 321 ${where}`
      const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] })
      const [line] = (await once(child.stdout, 'data')) as [Buffer]
      const [established = 0, , sent = 0, refused = 0] = String(line).split(' ').map(Number)
      all.established += established
      all.sent += sent
      all.refused += refused
    }
  }
  const now = await receiver.collectUntil(isOver)
  assert.deepEqual(all, { established: 600, sent: 600 * 321, refused: 600 })
  assert.equal(now.sum('successful_connects', { destination: TO }), 600)
  assert.equal(now.sum('bytes_sent', { destination: TO }), all.sent)
  assert.equal(now.sum('resets', { destination: TO, direction: 'sent' }), 600)
  assert.equal(now.sum('connect.failures', { destination: '10.77.2.2:7999', 'error.type': 'refused' }), 600)
  assert.equal(now.sum('failed_connects'), 600)
  assert.equal(now.sum('active_connections'), 0)
})

for (const [family, black, far, errno, cause] of [
  ['IPv4', '10.77.2.9', '198.51.100.1', 113, 'host_unreachable'],
  ['IPv6', 'fd77:2::9', '2001:db8::1', 101, 'net_unreachable'],
] as const) {
  test(
    `${family}: what is swallowed until the kernel gives up, what has no way, and what is given up`,
    needs,
    async (t) => {
      const { client, router, server } = clientRouterServer(t)
      router.run(family === 'IPv4' ? 'iptables' : 'ip6tables', '-A', 'FORWARD', '-d', black, '-j', 'DROP')
      router.run('ip', 'route', 'add', 'unreachable', far)
      const receiver = await startReceiver(t, { inside: [client, server] })
      const before = snmp(client, 'RetransSegs')
      const [gaveUp, timedOut, noWay] = await Promise.all([
        connections(client, 'giveup', black, 7001, 30, 200),
        // TCP_USER_TIMEOUT of the socket: the kernel's own decision, after one or two SYNs more.
        Promise.all([1, 2, 3].map(() => connections(client, 'wait', black, 7002, 1, 2500))),
        connections(client, 'wait', far, 7003, 1),
      ])
      assert.deepEqual([gaveUp, timedOut, noWay], [[30], [[110], [110], [110]], [errno]])
      const now = await receiver.collect()
      const failures = (port: number, type: string) =>
        now.sum('connect.failures', { destination: withPort(port === 7003 ? far : black, port), 'error.type': type })
      assert.equal(failures(7001, 'abandoned'), 30)
      assert.equal(failures(7002, 'timed_out'), 3)
      assert.equal(failures(7003, cause), 1)
      assert.equal(now.sum('failed_connects'), 34)
      assert.equal(now.sum('successful_connects'), 0)
      assert.equal(now.sum('connection.time'), 0)
      assert.equal(now.sum('retransmits'), snmp(client, 'RetransSegs') - before)
      assert.ok(now.sum('retransmits', { destination: withPort(black, 7002) }) >= 3)
    },
  )
}

for (const [how, where] of [
  ['fin', 'by the socket that nobody holds any more'],
  ['steps', 'by what TIME_WAIT leaves of it'],
] as const) {
  for (const who of ['client', 'server'] as const) {
    test(
      `what comes after the ${who} has ended is refused ${where}: as often as the kernel counts`,
      needs,
      async (t) => {
        const { client, server } = clientRouterServer(t)
        const asClient = who === 'client'
        await keeping(server, ...(asClient ? ['belated', '10.77.2.2', 7000] : ['slam', '10.77.2.2', 7000, how]))
        const receiver = await startReceiver(t, { inside: [client, server] })
        const dialling = asClient ? ['storm', '10.77.2.2', 7000, 100, 50, how, 10] : ['answer', '10.77.2.2', 7000, 100]
        await connections(client, ...dialling)
        await until('all were refused', () => snmp(asClient ? client : server, 'OutRsts') === 100)
        const now = await receiver.collectUntil(isOver)
        const [refusing, refused] = asClient ? ['sent', 'received'] : ['received', 'sent']
        assert.equal(now.sum('resets', { destination: TO, direction: refusing }), 100)
        assert.equal(now.sum('resets', { listen_addr: TO, direction: refused }), 100)
        const { late_reset_of_unknown, lost } = await receiver.losses()
        assert.deepEqual([late_reset_of_unknown, lost], [0, 0])
      },
    )
  }
}

test('a server that resets at once was reached: no failure, and both sides know of the reset', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'slam', '10.77.2.2', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const seen = await connections(client, 'read', '10.77.2.2', 7000, 200)
  assert.deepEqual(seen, Array(200).fill(104))
  const now = await receiver.collectUntil(isOver)
  assert.equal(now.sum('successful_connects', { destination: TO }), 200)
  assert.equal(now.sum('failed_connects'), 0)
  assert.equal(now.sum('connect.failures'), 0)
  assert.equal(now.sum('resets', { destination: TO, direction: 'received' }), 200)
  assert.equal(now.sum('resets', { listen_addr: TO, direction: 'sent' }), 200)
  assert.equal(now.sum('inbound.accepts', { listen_addr: TO }), 200)
})

test('twenty thousand at once are as many as ss counts, and after kill -9 there is none', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  const addresses = ['10.77.2.2', '10.77.2.3']
  for (const address of addresses) await keeping(server, 'listen', address, 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const held = await Promise.all(addresses.map((address) => keeping(client, 'hold', address, 7000, 10_000)))
  const now = await receiver.collectUntil((seen) => seen.sum('inbound.accepts') === 20_000)
  assert.equal(Number(client.run('sh', '-c', 'ss -tnH state established | wc -l')), 20_000)
  assert.equal(now.sum('active_connections'), 20_000)
  for (const address of addresses) {
    assert.equal(now.sum('active_connections', { destination: `${address}:7000` }), 10_000)
    assert.equal(now.sum('inbound.active_connections', { listen_addr: `${address}:7000` }), 10_000)
  }
  await Promise.all(held.map(({ child }) => killed(child)))
  const end = await receiver.collectUntil(isOver)
  assert.deepEqual([end.sum('active_connections'), end.sum('inbound.active_connections')], [0, 0])
  assert.equal(end.sum('successful_connects'), 20_000)
  assert.equal(end.sum('inbound.accepts'), 20_000)
})

test(
  'under real loss, what was sent again on connections that are over is what the kernel counted',
  needs,
  async (t) => {
    const { client, router, server } = clientRouterServer(t)
    await keeping(server, 'listen', '10.77.2.2', 7000)
    const receiver = await startReceiver(t, { inside: [client, server] })
    const before = [client, server].map((namespace) => snmp(namespace, 'RetransSegs'))
    const loss = ['-m', 'statistic', '--mode', 'random', '--probability', '0.03', '-j', 'DROP']
    router.run('iptables', '-A', 'FORWARD', '-p', 'tcp', ...loss)
    const made = await Promise.all(
      Array.from({ length: 8 }, () => connections(client, 'storm', '10.77.2.2', 7000, 25, 0, 'fin', 60_000)),
    )
    router.run('iptables', '-F', 'FORWARD')
    await until('the last FIN has come', () => isQuiet(client) && isQuiet(server), { deadlineMs: 30_000 })
    const now = await receiver.collectUntil(isOver)
    assert.deepEqual(
      made.map(([established, failed, sent]) => [established, failed, sent]),
      Array(8).fill([25, 0, 1_500_000]),
    )
    const [ofClient = 0, ofServer = 0] = [client, server].map((one, i) => snmp(one, 'RetransSegs') - (before[i] ?? 0))
    assert.ok(ofClient > 20, `only ${ofClient} were lost`)
    assert.equal(now.sum('retransmits', { destination: TO }), ofClient)
    assert.equal(now.sum('inbound.retransmits', { listen_addr: TO }), ofServer)
    assert.equal(now.sum('bytes_sent', { destination: TO }), 12_000_000)
    assert.equal(now.sum('inbound.bytes_received', { listen_addr: TO }), 12_000_000)
  },
)

test('a socket that systemd made for a service is the service’s that was started with it', {
  ...needs,
  ...requires('socket activation'),
}, async (t) => {
  const { client, server } = clientRouterServer(t)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const container = makeContainer(t)
  const procs = join(readLayout('/sys/fs/cgroup').root, container, 'cgroup.procs')
  // `ip netns exec` would hide the cgroup file systems.
  const service = `echo $$ > ${procs}; exec ${buildTool('connections')} activated - -`
  const activate = ['systemd-socket-activate', '-l', '10.77.2.2:7000', 'sh', '-c', service]
  const child = spawn('nsenter', [`--net=/run/netns/${server.name}`, ...activate], { stdio: 'ignore' })
  atEnd(t, () => child.kill('SIGKILL'))
  await until('systemd listens', () => server.run('ss', '-tlnH', 'sport', '=', ':7000') !== '')
  const waiting = await receiver.collect()
  const listener = waiting.points.find(({ attributes }) => attributes.listen_addr === TO)
  assert.ok(listener, 'it is listened on before the service runs')
  // The first connection starts the service.
  await connections(client, 'storm', '10.77.2.2', 7000, 1, 0, 'fin')
  await until('it runs', async () => {
    const { points } = await receiver.collect()
    return points.some(({ subject, metric }) => metric === 'listen.info' && pathOf(subject) === `/${container}`)
  })
  await connections(client, 'storm', '10.77.2.2', 7000, 60, 0, 'fin', 10)
  const now = await receiver.collectUntil(isOver)
  const ofService = now.points.filter(({ subject }) => pathOf(subject) === `/${container}`)
  const sum = (name: string) =>
    ofService.filter(({ metric }) => metric === name).reduce((all, { value }) => all + value, 0)
  assert.equal(sum('inbound.accepts'), 60)
  assert.equal(sum('inbound.bytes_received'), 600)
  assert.equal(now.sum('inbound.accepts', { listen_addr: TO }), 61)
  assert.equal(sum('listen.info'), 1)
})
