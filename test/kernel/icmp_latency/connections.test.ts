// Where nobody else tells of connections, the sockets do: against what ss shows of two network namespaces.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { watchConnections } from '../../../receivers/icmp_latency/connections.ts'
import { listeningLog } from '../../receivers/quiet.ts'
import { requires } from '../../requires.ts'
import { buildTool } from '../../tools/build.ts'
import { until } from '../../until.ts'
import { inside, join, makeNamespace, startQuietHost } from '../network.ts'

test(
  'who dials is noted with who really answers, and who listens is not',
  requires('root', 'addon', 'netfilter'),
  async (t) => {
    const host = await startQuietHost(t)
    const [client, server] = [makeNamespace(t), makeNamespace(t)]
    join(client, ['10.5.0.1/24', 'fd05::1/64'], server, ['10.5.0.2/24', '10.5.0.3/24', 'fd05::2/64'])
    const service = [
      '-d',
      '10.96.0.12',
      '-p',
      'tcp',
      '--dport',
      '80',
      '-j',
      'DNAT',
      '--to-destination',
      '10.5.0.3:8080',
    ]
    client.run('iptables', '-t', 'nat', '-A', 'OUTPUT', ...service)
    client.run('ip', 'route', 'add', '10.96.0.0/16', 'via', '10.5.0.2')
    const tool = buildTool('connections')
    const start = async (namespace: typeof client, ...args: string[]) => {
      const child = namespace.start(tool, ...args)
      await once(child.stdout ?? child, 'data')
      return child
    }
    for (const address of ['0.0.0.0', '::']) {
      const listener = await start(server, 'listen', address, address === '::' ? '8081' : '8080')
      host.namespaces.seen(server.inode, await inside(server, listener))
    }
    for (const [address, port, count] of [
      ['10.5.0.2', '8080', '3'],
      ['10.96.0.12', '80', '1'],
      ['fd05::2', '8081', '1'],
    ] as const) {
      const child = await start(client, 'hold', address, port, count, '1000')
      host.namespaces.seen(client.inode, await inside(client, child))
    }
    await start(client, 'listen', '127.0.0.1', '8082')
    await start(client, 'hold', '127.0.0.1', '8082', '1')

    const shown = () => client.run('ss', '-Htni', 'dst', '[fd05::2]')
    await until('all is acknowledged', () => !/unacked|notsent/.test(shown()))
    const connections = watchConnections(host, listeningLog())
    await connections.look()
    const noted = [...host.peers.living()]
    const from = (netns: number) => noted.filter((peer) => peer.netns === netns)
    assert.deepEqual(
      from(client.inode)
        .map(({ address }) => address)
        .sort(),
      ['10.5.0.2', '10.5.0.3', 'fd05::2'],
    )
    assert.deepEqual(from(server.inode), [])

    const truth = Number(/ rtt:([\d.]+)\//.exec(shown())?.[1]) / 1000
    const seconds = from(client.inode).find(({ address }) => address === 'fd05::2')?.tcpSeconds
    assert.ok(seconds !== undefined && Math.abs(seconds - truth) < 1e-6, `${seconds} against ${truth}`)
    connections.stop()
  },
)

test('once it was stopped it looks no further', requires('root', 'addon'), async (t) => {
  const host = await startQuietHost(t)
  const connections = watchConnections(host, listeningLog())
  connections.stop()
  await connections.look()
  assert.deepEqual([...host.peers.living()], [])
})
