// Ends that come late: connections that were over before the agent came though a process still holds them, and those
// that a process is done with while the kernel is not. What is right, ss says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer, inside } from './network.ts'
import { connections, keeping, killed, startReceiver } from './tcp.ts'

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
    const dnat = '-t nat -A PREROUTING -p tcp -d 10.96.0.1 --dport 7000 -j DNAT --to-destination 10.77.2.2:7000'
    router.run('iptables', ...dnat.split(' '))
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
