// Sockets of MPTCP, which is what servers in Go listen with by default: TCP within, that no descriptor leads to directly.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { clientRouterServer, type Namespace } from './network.ts'
import { connections, killed, startReceiver } from './tcp.ts'

const TO = '10.77.2.2:7000'

async function start({ start }: Namespace, ...args: string[]) {
  const child = start('env', 'MPTCP=1', buildTool('connections'), ...args)
  assert.ok(child.stdout)
  await once(child.stdout, 'data')
  return child
}

for (const source of ['bpf', 'sock_diag']) {
  test(
    `${source}: who listens by MPTCP, and connections before and after`,
    requires('root', 'addon', 'bpf'),
    async (t) => {
      const { client, server } = clientRouterServer(t)
      await start(server, 'listen', '0.0.0.0', '7000')
      const before = await start(client, 'hold', '10.77.2.2', '7000', '5', '1000')
      const receiver = await startReceiver(t, { inside: [client, server], config: { source } })
      const first = await receiver.collect()
      const listens = first.points.filter(({ metric }) => metric === 'listen.info')
      assert.ok(listens.some(({ attributes }) => attributes.listen_addr === TO))
      const after = await start(client, 'hold', '10.77.2.2', '7000', '3', '500')
      const now = await receiver.collectUntil((seen) => seen.sum('active_connections') === 8)
      const numbers = ['active_connections', 'inbound.active_connections', 'bytes_sent', 'inbound.bytes_received']
      assert.deepEqual(
        numbers.map((name) => now.sum(name)),
        [8, 8, 6500, 6500],
      )
      // Whoever does not speak it is served all the same.
      await connections(client, 'storm', '10.77.2.2', 7000, 10, 0, 'fin', 10)
      await killed(before)
      await killed(after)
      const end = await receiver.collectUntil(
        (seen) => seen.sum('active_connections') + seen.sum('inbound.active_connections') === 0,
      )
      assert.deepEqual([end.sum('active_connections'), end.sum('inbound.active_connections')], [0, 0])
      if (source === 'sock_diag') return
      assert.deepEqual([end.sum('successful_connects'), end.sum('inbound.accepts')], [18, 18])
      assert.deepEqual([end.sum('bytes_sent'), end.sum('inbound.bytes_received')], [6600, 6600])
    },
  )
}
