// Whose a socket is, and how many there are, when processes share it, hand it on or were moved after they made it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { clientRouterServer } from './network.ts'
import {
  connections,
  connectionsIn,
  keeping,
  keepingIn,
  killed,
  makeContainer,
  move,
  removed,
  startReceiver,
} from './tcp.ts'

const needs = requires('root', 'addon', 'bpf')

test('sockets that were inherited and duplicated are one each, and end with their last holder', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const { numbers } = await keeping(client, 'share', '10.77.2.2', 7000, 40, 500)
  const destination = { destination: '10.77.2.2:7000' }
  const shared = await receiver.collect()
  assert.equal(shared.sum('active_connections', destination), 40)
  assert.equal(shared.sum('bytes_sent', destination), 20_000)
  process.kill(numbers[0] ?? 0, 'SIGKILL')
  const end = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
  assert.equal(end.sum('active_connections', destination), 0)
  assert.equal(end.sum('successful_connects', destination), 40)
  assert.equal(end.sum('bytes_sent', destination), 20_000)
})

test('sockets that were handed to another process, and closed by close_range, are one each', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const { numbers } = await keeping(client, 'pass', '10.77.2.2', 7000, 60)
  const destination = { destination: '10.77.2.2:7000' }
  assert.equal(Number(client.run('sh', '-c', 'ss -tnH state established dst 10.77.2.2 | wc -l')), 60)
  for (let i = 0; i < 2; i++) {
    const now = await receiver.collect()
    assert.equal(now.sum('active_connections', destination), 60)
    assert.equal(now.sum('successful_connects', destination), 60)
  }
  process.kill(numbers[0] ?? 0, 'SIGKILL')
  const end = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
  assert.equal(end.sum('active_connections', destination), 0)
  assert.equal(end.sum('successful_connects', destination), 60)
})

test('a server of several processes listens once, and every connection is accepted once', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  const { child } = await keeping(server, 'prefork', '10.77.2.2', 7000, 4)
  const receiver = await startReceiver(t, { inside: [client, server] })
  await connections(client, 'storm', '10.77.2.2', 7000, 1000, 0, 'fin', 10)
  const inbound = { listen_addr: '10.77.2.2:7000' }
  const now = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections', inbound) === 0)
  assert.equal(now.sum('inbound.accepts', inbound), 1000)
  assert.equal(now.sum('inbound.bytes_received', inbound), 10_000)
  assert.equal(now.sum('listen.info', inbound), 1)
  await killed(child)
})

test(
  'a listener that was made before its process was put into a container serves for that container',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    const { child } = await keeping(server, 'listen', '10.77.2.2', 7000)
    const { child: early } = await keeping(client, 'hold', '10.77.2.2', 7000, 3)
    const cgroup = makeContainer(t)
    move(child, cgroup)
    const receiver = await startReceiver(t, { inside: [], cgroup })
    const inbound = { listen_addr: '10.77.2.2:7000' }
    // Whoever was there before the first look is of the socket's birthplace, and from then on of the container.
    await receiver.collect()
    await connections(client, 'storm', '10.77.2.2', 7000, 50, 0, 'fin', 10)
    await keeping(client, 'hold', '10.77.2.2', 7000, 4)
    const now = await receiver.collect()
    assert.equal(now.sum('inbound.accepts', inbound), 54)
    assert.equal(now.sum('inbound.bytes_received', inbound), 500)
    await killed(early)
    await killed(child)
  },
)

test(
  'what its maker has handed on goes on after the maker is gone, and nothing of it is counted twice',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    const [makers, heirs] = [makeContainer(t), makeContainer(t)]
    const listener = await keepingIn(makers, server, 'listen', '0.0.0.0', 7000)
    const early = await keepingIn(makers, client, 'hold', '10.77.2.2', 7000, 10, 100)
    const late = await keepingIn(makers, client, 'later', '10.77.2.2', 7000, 4)
    const receiver = await startReceiver(t, { inside: [client, server] })
    const talking = await keepingIn(makers, client, 'hold', '10.77.2.2', 7000, 5, 100)
    const before = await receiver.collect()
    const [destination, inbound] = [{ destination: '10.77.2.2:7000' }, { listen_addr: '10.77.2.2:7000' }]
    assert.equal(before.sum('active_connections', destination), 15)
    for (const child of [listener, early, late, talking]) move(child, heirs)
    // Both are alive: what a group has made is its own.
    const both = await receiver.collect()
    assert.equal(both.sum('active_connections', destination, makers), 15)
    await removed(makers)
    const heard = once(late.stdout ?? late, 'data')
    late.kill('SIGUSR1')
    await heard
    await connectionsIn(heirs, client, 'storm', '10.77.2.2', 7000, 50, 0, 'fin', 10)
    for (let i = 0; i < 3; i++) {
      const now = await receiver.collect()
      assert.equal(now.sum('active_connections', destination, heirs), 19)
      assert.equal(now.sum('inbound.active_connections', inbound, heirs), 19)
      assert.equal(now.sum('active_connections', destination), 19)
      assert.equal(now.sum('inbound.active_connections', inbound), 19)
    }
    const now = await receiver.collect()
    assert.equal(now.sum('successful_connects', destination, heirs), 54)
    assert.equal(now.sum('inbound.accepts', inbound, heirs), 54)
    assert.equal(now.sum('inbound.bytes_received', inbound, heirs), 500)
    assert.equal(now.sum('listen.info', inbound, heirs), 1)
    assert.equal(now.sum('successful_connects', destination), 69)
    for (const child of [early, late, talking]) await killed(child)
    const end = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections', inbound) === 0)
    assert.equal(end.sum('active_connections', destination), 0)
    assert.equal(end.sum('successful_connects', destination), 69)
    assert.equal(end.sum('bytes_sent', destination), 2000)
    await killed(listener)
  },
)

test(
  'connections of a control group that came and went between two collections are of their holder at once',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    const [brief, next, heirs] = [makeContainer(t), makeContainer(t), makeContainer(t)]
    const destination = { destination: '10.77.2.2:7000' }
    const receiver = await startReceiver(t, { inside: [client, server] })
    await receiver.collect()
    const held = await keepingIn(brief, client, 'hold', '10.77.2.2', 7000, 7, 100)
    move(held, next)
    await removed(brief)
    assert.equal((await receiver.collect()).sum('active_connections', destination, next), 7)
    move(held, heirs)
    await removed(next)
    const now = await receiver.collect()
    assert.equal(now.sum('active_connections', destination, heirs), 7)
    assert.equal(now.sum('active_connections', destination), 7)
    await killed(held)
    const end = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
    assert.equal(end.sum('active_connections', destination), 0)
    assert.equal(end.sum('successful_connects', destination), 7)
    assert.equal(end.sum('bytes_sent', destination), 700)
  },
)

test('listening sockets of one port that were handed to several are each of their own holder', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  const [makers, one, other] = [makeContainer(t), makeContainer(t), makeContainer(t)]
  const first = await keepingIn(makers, server, 'listen', '10.77.2.2', 7000)
  const second = await keepingIn(makers, server, 'listen', '10.77.2.3', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  move(first, one)
  move(second, other)
  await removed(makers)
  await receiver.collect()
  await connections(client, 'storm', '10.77.2.2', 7000, 30, 0, 'fin', 10)
  await connections(client, 'storm', '10.77.2.3', 7000, 70, 0, 'fin', 10)
  await keeping(client, 'hold', '10.77.2.2', 7000, 3)
  const now = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections') === 3)
  const accepts = (cgroup: string) => now.sum('inbound.accepts', {}, cgroup)
  assert.deepEqual([accepts(one), accepts(other)], [33, 70])
  assert.equal(now.sum('inbound.active_connections', { listen_addr: '10.77.2.2:7000' }, one), 3)
  await killed(first)
  await killed(second)
})

test('what is dialled outside of containers is of the container that its holder is moved to', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const { child } = await keeping(client, 'hold', '10.77.2.2', 7000, 20)
  await receiver.collect()
  const cgroup = makeContainer(t)
  move(child, cgroup)
  const destination = { destination: '10.77.2.2:7000' }
  const now = await receiver.collectUntil((seen) => seen.sum('active_connections', destination, cgroup) === 20)
  assert.equal(now.sum('active_connections', destination, cgroup), 20)
  assert.equal(now.sum('active_connections', destination), 20)
  assert.equal(now.sum('successful_connects', destination), 20)
  await killed(child)
})
