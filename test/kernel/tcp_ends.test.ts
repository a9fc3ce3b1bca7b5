// Ends that come late or early: connections that were over before the agent came though a process still holds them, those
// that a process is done with while the kernel is not, and those that end between two SYNs. What is right, ss says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { clientRouterServer, inside, translate } from './network.ts'
import { connections, keeping, killed, startReceiver, told } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')

test('what was reset before the agent came is no connection when its process lets go of it', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'slam', '0.0.0.0', 7000)
  const { child } = await keeping(client, 'hold', '10.77.2.2', 7000, 10)
  await until('all are reset', () => client.run('ss', '-Htan') === '')
  const receiver = await startReceiver(t, { inside: [client] })
  await receiver.collect()
  await killed(child)
  // What comes after it is counted, so what went before was looked at.
  await connections(client, 'storm', '10.77.2.2', 7000, 1, 0, 'fin')
  const now = await receiver.collectUntil((seen) => seen.sum('successful_connects') > 0)
  assert.equal(now.sum('successful_connects'), 1)
  assert.equal(now.sum('active_connections'), 0)
  assert.ok(now.sum('resets', { direction: 'received' }) <= 1)
})

for (const how of ['directly', 'through a translation'] as const) {
  test(`reached ${how}, what its process has closed is not active, though the kernel still waits`, needs, async (t) => {
    const { client, router, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    for (const namespace of [client, router]) await inside(namespace, namespace.start('sleep', '600'))
    translate(router, 'PREROUTING', '10.96.0.1', '10.77.2.2')
    const receiver = await startReceiver(t, { inside: [client], initial: router })
    const address = how === 'directly' ? '10.77.2.2' : '10.96.0.1'
    const { child } = await keeping(client, 'hold', address, 7000, 5, 100)
    const open = await receiver.collectUntil((seen) => seen.sum('active_connections') === 5)
    assert.deepEqual(open.answered('successful_connects', `${address}:7000`), { '10.77.2.2:7000': 5 })
    router.run('iptables', '-I', 'FORWARD', '-j', 'DROP')
    await killed(child)
    const waiting = () => client.run('ss', '-Htan', 'state', 'fin-wait-1').split('\n').filter(Boolean).length
    await until('the kernel waits for an answer', () => waiting() === 5)
    const now = await receiver.collectUntil((seen) => seen.sum('active_connections') === 0)
    assert.equal(now.sum('active_connections'), 0)
    assert.equal(now.sum('successful_connects'), 5)
    assert.equal(now.sum('bytes_sent'), 500)
    assert.equal(waiting(), 5)
  })
}

test('of those that dial each other at once, one is reset, one gives up, one is connected', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  const [RESET, GIVEN_UP, CONNECTED] = [30_001, 30_002, 30_003]
  const drop = (hook: string, ...what: string[]) => {
    server.run('nft', `add chain inet one_way ${hook} { type filter hook ${hook} priority 0 ; }`)
    server.run('nft', 'add', 'rule', 'inet', 'one_way', hook, 'tcp', ...what, 'drop')
  }
  server.run('nft', 'add table inet one_way')
  // A SYN does not arrive, for nobody listens there; and to two of three nothing goes back but SYNs and resets.
  drop('input', 'flags', '&', '(syn|ack)', '==', 'syn')
  drop('output', 'dport', `{${RESET},${GIVEN_UP}}`, 'tcp', 'flags', '&', '(ack|rst)', '==', 'ack')
  const receiver = await startReceiver(t, { inside: [client, server] })
  // Each to the port that is as far from 7000 as its own is from 30 000.
  const there = (port: number) => port - 23_000
  const [reset, givenUp, connected] = [RESET, GIVEN_UP, CONNECTED].map((port) =>
    client.start(buildTool('connections'), 'storm', '10.77.2.2', `${there(port)}`, '1', '0', 'fin', '10', `${port}`),
  )
  assert.ok(reset && givenUp && connected)
  const seen = [told(reset), told(connected)]
  const inState = (state: string) => client.run('ss', '-Htan', 'state', state).split('\n').filter(Boolean).length
  await until('all have dialled', () => inState('syn-sent') === 3)
  const back = async (port: number, how: string) =>
    (await connections(server, 'storm', '10.77.1.2', port, 1, 0, how, 0, there(port))).slice(0, 2)
  assert.deepEqual(await back(CONNECTED, 'fin'), [1, 0])
  assert.deepEqual(await back(GIVEN_UP, 'fin'), [1, 0])
  assert.equal(inState('syn-recv'), 1)
  await killed(givenUp)
  assert.deepEqual(await back(RESET, 'rst'), [1, 0])
  assert.deepEqual(
    (await Promise.all(seen)).map((numbers) => numbers.slice(0, 2)),
    [
      [0, 1],
      [1, 0],
    ],
  )
  const now = await receiver.collectUntil((page) => page.sum('active_connections') === 0)
  const failures = now.points.filter(({ metric }) => metric === 'connect.failures')
  assert.deepEqual(
    failures.map(({ attributes, value }) => [attributes.destination, attributes['error.type'], value]).toSorted(),
    [
      ['10.77.2.2:7001', 'reset', 1],
      ['10.77.2.2:7002', 'abandoned', 1],
    ],
  )
  for (const destination of [
    `10.77.2.2:${there(CONNECTED)}`,
    ...[RESET, GIVEN_UP, CONNECTED].map((port) => `10.77.1.2:${port}`),
  ]) {
    assert.equal(now.sum('successful_connects', { destination }), 1, destination)
  }
  assert.equal(now.sum('successful_connects'), 4)
  assert.equal(now.sum('inbound.accepts'), 0)
})
