// More than there is room for: the kernel's table of sockets and the ring of records. Nothing is lost but what the
// receiver's own telemetry says, and that is made up for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { requires } from '../requires.ts'
import { clientRouterServer } from './network.ts'
import { type Collected, keeping, killed, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf')

test('seventy thousand sockets, for which there is no room, are all counted in the end', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535')
  const places = ['10.77.2.2', '10.77.2.3'].flatMap((address) => [7000, 7001].map((port) => [address, port] as const))
  for (const [address, port] of places) await keeping(server, 'listen', address, port)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const held = await Promise.all(places.map(([address, port]) => keeping(client, 'hold', address, port, 9000, 10)))
  assert.equal(Number(client.run('sh', '-c', 'ss -tnH state established | wc -l')), 36_000)
  await receiver.collect()
  assert.ok(((await receiver.losses()).no_room_for_socket ?? 0) >= 12_000)
  // Where some have gone there is room for those that had none.
  await Promise.all(held.slice(0, 2).map(({ child }) => killed(child)))
  const numbers = ({ sum }: Collected) =>
    ['active_connections', 'inbound.active_connections', 'successful_connects', 'inbound.accepts'].map((name) =>
      sum(name),
    )
  const isHalf = [18_000, 18_000, 36_000, 36_000]
  const half = await receiver.collectUntil((seen) => isDeepStrictEqual(numbers(seen), isHalf))
  assert.deepEqual(numbers(half), isHalf)
  await Promise.all(held.slice(2).map(({ child }) => killed(child)))
  const isOver = [0, 0, 36_000, 36_000]
  const end = await receiver.collectUntil((seen) => isDeepStrictEqual(numbers(seen), isOver))
  assert.deepEqual(numbers(end), isOver)
  assert.deepEqual([end.sum('bytes_sent'), end.sum('inbound.bytes_received')], [360_000, 360_000])
})
