// What was there before the agent came, what happens while it does not look, and what it leaves when it is killed.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { launchAgent, startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import type { Page } from '../exposition.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer, inside, translate } from './network.ts'
import { type Collected, connections, keeping, killed, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf')

test('connections that were there before are counted once, with all their bytes', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const { child, numbers } = await keeping(client, 'hold', '10.77.2.2', 7000, 300, 1000)
  assert.deepEqual(numbers, [300])
  const receiver = await startReceiver(t, { inside: [client, server] })
  const destination = { destination: '10.77.2.2:7000' }
  const inbound = { listen_addr: '10.77.2.2:7000' }
  for (let i = 0; i < 3; i++) {
    const now = await receiver.collect()
    assert.equal(now.sum('successful_connects', destination), 300)
    assert.equal(now.sum('active_connections', destination), 300)
    assert.equal(now.sum('bytes_sent', destination), 300_000)
    assert.equal(now.sum('inbound.accepts', inbound), 300)
    assert.equal(now.sum('inbound.active_connections', inbound), 300)
    assert.equal(now.sum('inbound.bytes_received', inbound), 300_000)
  }
  const second = await keeping(client, 'hold', '10.77.2.2', 7000, 20, 10)
  assert.equal((await receiver.collect()).sum('active_connections', destination), 320)
  await killed(child)
  await killed(second.child)
  const end = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections', inbound) === 0)
  assert.equal(end.sum('successful_connects', destination), 320)
  assert.equal(end.sum('active_connections', destination), 0)
  assert.equal(end.sum('bytes_sent', destination), 300_200)
  assert.equal(end.sum('inbound.accepts', inbound), 320)
})

for (const source of ['bpf', 'sock_diag']) {
  test(`${source}: without history what was there before is open, and counts from then on`, needs, async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    await inside(client, client.start('sleep', '600'))
    translate(client, 'OUTPUT', '10.96.0.1', '10.77.2.2:7000')
    const places = ['10.77.2.2', '10.96.0.1']
    const before = await Promise.all(places.map((place) => keeping(client, 'hold', place, 7000, 30, 1000)))
    const receiver = await startReceiver(t, { inside: [client, server], config: { source, history: false } })
    const names = ['successful_connects', 'bytes_sent', 'active_connections']
    const numbers = ({ sum }: Collected) =>
      places.map((place) => names.map((name) => sum(name, { destination: `${place}:7000` })))
    const inbound = ({ sum }: Collected) =>
      ['accepts', 'bytes_received', 'active_connections'].map((name) => sum(`inbound.${name}`))
    const first = await receiver.collect()
    assert.deepEqual(numbers(first), [
      [0, 0, 30],
      [0, 0, 30],
    ])
    assert.deepEqual(inbound(first), [0, 0, 60])
    const after = await Promise.all(places.map((place) => keeping(client, 'hold', place, 7000, 5, 100)))
    const connects = source === 'bpf' ? 5 : 0
    const second = await receiver.collectUntil((seen) => seen.sum('inbound.bytes_received') === 1000)
    assert.deepEqual(numbers(second), [
      [connects, 500, 35],
      [connects, 500, 35],
    ])
    assert.deepEqual(inbound(second), [2 * connects, 1000, 70])
    for (const { child } of [...before, ...after]) await killed(child)
    const end = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections') === 0)
    assert.deepEqual(numbers(end), [
      [connects, 500, 0],
      [connects, 500, 0],
    ])
  })
}

test('fifteen thousand at once, those before the agent and those after, are as many as ss counts', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const { child: before } = await keeping(client, 'hold', '10.77.2.2', 7000, 8000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const { child: after } = await keeping(client, 'hold', '10.77.2.2', 7000, 7000)
  const now = await receiver.collectUntil((seen) => seen.sum('inbound.accepts') === 15_000)
  assert.equal(Number(client.run('sh', '-c', 'ss -tnH state established dst 10.77.2.2 | wc -l')), 15_000)
  assert.equal(now.sum('active_connections', { destination: '10.77.2.2:7000' }), 15_000)
  assert.equal(now.sum('successful_connects', { destination: '10.77.2.2:7000' }), 15_000)
  assert.equal(now.sum('inbound.active_connections', { listen_addr: '10.77.2.2:7000' }), 15_000)
  await killed(before)
  await killed(after)
  const end = await receiver.collectUntil(
    (seen) => seen.sum('inbound.active_connections') === 0 && seen.sum('active_connections') === 0,
  )
  assert.equal(end.sum('active_connections'), 0)
  assert.equal(end.sum('inbound.active_connections'), 0)
  assert.equal(end.sum('successful_connects', { destination: '10.77.2.2:7000' }), 15_000)
})

test(
  'while JavaScript stands still for three seconds, ten thousand connections a second are counted',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'listen', '0.0.0.0', 7000)
    client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535')
    const receiver = await startReceiver(t, { inside: [client, server] })
    const storm = connections(client, 'storm', '10.77.2.2', 7000, 30_000, 10_000, 'rst', 10)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
    const [established, failed, sent] = await storm
    const destination = { destination: '10.77.2.2:7000' }
    const now = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
    assert.deepEqual([established, failed], [30_000, 0])
    assert.equal(now.sum('successful_connects', destination), established)
    assert.equal(now.sum('bytes_sent', destination), sent)
    assert.equal(now.sum('active_connections', destination), 0)
  },
)

test(
  'a configuration that is read again adds nothing to what was counted, and misses nothing meanwhile',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    // A port of its own: the agent sees the whole machine, and others dial the same addresses.
    await keeping(server, 'listen', '0.0.0.0', 17099)
    await inside(client, client.start('sleep', '600'))
    translate(client, 'OUTPUT', '10.96.0.1', '10.77.2.2:17099')
    const agent = await startAgent(t, { receivers: { tcp_connections: {} }, processors: { nat_resolution: {} } })
    const sums = (page: Page) =>
      ['10.77.2.2:17099', '10.96.0.1:17099'].map((destination) =>
        ['successful_connects_total', 'bytes_sent_total', 'active_connections'].map((metric) =>
          page
            .all(`container_net_tcp_${metric}`, { destination, actual_destination: '10.77.2.2:17099' })
            .reduce((sum, { value }) => sum + value, 0),
        ),
      )
    for (const address of ['10.77.2.2', '10.96.0.1']) await keeping(client, 'hold', address, 17099, 30, 100)
    const storms = [
      connections(client, 'storm', '10.77.2.2', 17099, 4000, 800, 'fin', 10),
      connections(client, 'storm', '10.96.0.1', 17099, 2000, 400, 'rst', 10),
    ]
    let last = sums(await agent.scrape())
    for (let i = 0; i < 3; i++) {
      await agent.reload()
      const now = sums(await agent.scrape())
      for (const [i, [connects = 0, sent = 0]] of now.entries()) {
        assert.ok(connects >= (last[i]?.[0] ?? 0) && sent >= (last[i]?.[1] ?? 0), `${now} after ${last}`)
      }
      last = now
    }
    await Promise.all(storms)
    await agent.reload()
    const expected = [
      [4030, 43_000, 30],
      [2030, 23_000, 30],
    ]
    await until('all is counted', async () => isDeepStrictEqual(sums(await agent.scrape()), expected)).catch(() => {})
    assert.deepEqual(sums(await agent.scrape()), expected)
  },
)

test('an agent that is killed leaves no program, no map and no pin in the kernel', needs, async (t) => {
  const agent = await launchAgent({ receivers: { tcp_connections: {} } })
  atEnd(t, () => until('it is reaped', () => !existsSync(`/proc/${agent.pid}`)))
  await agent.scrape()
  const fdinfo = `/proc/${agent.pid}/fdinfo`
  const ids = (kind: string) =>
    readdirSync(fdinfo).flatMap((fd) => {
      const id = new RegExp(`^${kind}:\\s*(\\d+)`, 'm').exec(readFileSync(`${fdinfo}/${fd}`, 'latin1'))?.[1]
      return id === undefined ? [] : [id]
    })
  const [programs, maps] = [new Set(ids('prog_id')), new Set(ids('map_id'))]
  const pins = () => spawnSync('find', ['/sys/fs/bpf', '-mindepth', '1'], { encoding: 'utf8' }).stdout
  const pinned = pins()
  const isThere = (what: string, id: string) => spawnSync('bpftool', [what, 'show', 'id', id]).status === 0
  assert.ok(programs.size >= 6 && maps.size >= 8, `${programs.size} programs, ${maps.size} maps`)
  assert.ok([...programs].every((id) => isThere('prog', id)))
  process.kill(agent.pid, 'SIGKILL')
  // Maps are freed after a grace period of the kernel.
  await until('nothing is left', () => {
    const left = [...programs].some((id) => isThere('prog', id)) || [...maps].some((id) => isThere('map', id))
    return !left
  })
  assert.equal(pins(), pinned)
})
