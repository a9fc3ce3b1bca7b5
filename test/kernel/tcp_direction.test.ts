// Who dialled, where those who listen now would tell the opposite: whoever was dialled listens no more, and whoever dialled
// listens on the port that he dialled from.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TCP } from '../../receivers/host/sockets.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer, type Namespace } from './network.ts'
import { socketsIn } from './socket_listing.ts'
import { type Collected, keeping, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')
const COUNT = 20
const TO = '10.77.2.2:7000'
/** More than fits into a socket. */
const MUCH = 8_000_000
const SOURCES = ['sock_diag', 'bpf'] as const

type Case = {
  readonly what: string
  /** What each side writes, and whether it is closed for writing after that. */
  readonly client: readonly [bytes: number, how?: 'half']
  readonly server: readonly [bytes: number, how?: 'half']
  /** For iptables, what the router throws away. */
  readonly lost?: string
  /** All that the sockets of each side are in, as `ss` writes it. */
  readonly states: readonly [client: RegExp, server: RegExp]
  /** Whether there is data that is not acknowledged and data that has not left. */
  readonly isUnderWay?: boolean
  /** The side that has closed for writing and has the other's FIN: its connections are open no more. */
  readonly isShut?: 'client' | 'server'
}

const CASES: readonly Case[] = [
  { what: 'nothing was said', client: [0], server: [0], states: [/ESTAB/, /ESTAB/] },
  { what: 'all that was said has arrived', client: [1000], server: [3000], states: [/ESTAB/, /ESTAB/] },
  {
    what: 'data is under way and waits, both ways',
    client: [MUCH],
    server: [MUCH],
    lost: '-m length --length 500:65535',
    states: [/ESTAB/, /ESTAB/],
    isUnderWay: true,
  },
  {
    what: 'who dialled writes no more',
    client: [1000, 'half'],
    server: [1000],
    states: [/FIN-WAIT-2/, /CLOSE-WAIT/],
  },
  {
    what: 'who was dialled writes no more',
    client: [1000],
    server: [1000, 'half'],
    states: [/CLOSE-WAIT/, /FIN-WAIT-2/],
  },
  {
    what: 'both write no more, but data waits before each FIN',
    client: [MUCH, 'half'],
    server: [MUCH, 'half'],
    lost: '-m length --length 500:65535',
    states: [/FIN-WAIT-1/, /FIN-WAIT-1/],
    isUnderWay: true,
  },
  {
    what: 'both write no more, but the FIN of who dialled does not arrive',
    client: [0, 'half'],
    server: [1000, 'half'],
    lost: '--dport 7000 --tcp-flags FIN FIN',
    states: [/CLOSING|LAST-ACK/, /FIN-WAIT-2/],
    isShut: 'client',
  },
  {
    what: 'both write no more, but the FIN of who was dialled does not arrive',
    client: [1000, 'half'],
    server: [0, 'half'],
    lost: '--sport 7000 --tcp-flags FIN FIN',
    states: [/FIN-WAIT-2/, /CLOSING|LAST-ACK/],
    isShut: 'server',
  },
]

const lines = ({ run }: Namespace, ...args: string[]) => run('ss', '-HOtani', ...args).match(/.+/g) ?? []

const given = (says: Case['client']) => says.filter((word) => word !== undefined)

/** Of connections that are open: outbound, and inbound; all, and those to `to`. */
const active = (seen: Collected, to: string) => [
  seen.sum('active_connections'),
  seen.sum('active_connections', { destination: to }),
  seen.sum('inbound.active_connections'),
  seen.sum('inbound.active_connections', { listen_addr: to }),
]

for (const [family, address, to] of [
  ['IPv4', '10.77.2.2', TO],
  ['IPv6', 'fd77:2::2', '[fd77:2::2]:7000'],
] as const) {
  for (const { what, client: dials, server: accepts, lost, states, isUnderWay = false, isShut } of CASES) {
    test(`${family}: ${what}: inbound is what was accepted, outbound what was dialled`, needs, async (t) => {
      const { client, router, server } = clientRouterServer(t)
      const iptables = family === 'IPv4' ? 'iptables' : 'ip6tables'
      if (lost !== undefined) router.run(iptables, ...`-A FORWARD -p tcp ${lost} -j DROP`.split(' '))
      await keeping(server, 'leave', address, 7000, COUNT, ...given(accepts))
      const { numbers } = await keeping(client, 'peer', address, 7000, COUNT, 6000, ...given(dials))
      assert.deepEqual(numbers, [COUNT])
      await until('all are as they shall be', () => {
        for (const [i, told] of [
          lines(client, 'dport', '=', ':7000'),
          lines(server, 'sport', '=', ':7000'),
        ].entries()) {
          assert.equal(told.length, COUNT)
          for (const line of told) {
            assert.match(line, states[i] ?? /never/)
            assert.equal(/ unacked:\d/.test(line) && / notsent:\d/.test(line), isUnderWay, line)
          }
        }
        return true
      })
      for (const source of SOURCES) {
        const receiver = await startReceiver(t, { inside: [client, server], config: { source } })
        const [dialled, accepted] = [isShut === 'client' ? 0 : COUNT, isShut === 'server' ? 0 : COUNT]
        const seen = await receiver.collect()
        assert.deepEqual(active(seen, to), [dialled, dialled, accepted, accepted], source)
        // A FIN is no byte.
        if (!isUnderWay) assert.equal(seen.sum('bytes_received', { destination: to }), COUNT * accepts[0], source)
        await receiver.stop()
      }
    })
  }
}

for (const source of SOURCES) {
  test(`${source}: what is accepted last before the listener is closed is inbound as the rest`, needs, async (t) => {
    const { client, server } = clientRouterServer(t)
    await keeping(server, 'leave', '10.77.2.2', 7000, COUNT)
    await keeping(client, 'hold', '10.77.2.2', 7000, COUNT - 1, 100)
    const receiver = await startReceiver(t, { inside: [client, server], config: { source } })
    const some = COUNT - 1
    assert.deepEqual(active(await receiver.collect(), TO), [some, some, some, some])
    await keeping(client, 'hold', '10.77.2.2', 7000, 1, 100)
    await until('nobody listens', () => server.run('ss', '-Htln') === '')
    assert.deepEqual(active(await receiver.collect(), TO), [COUNT, COUNT, COUNT, COUNT])
  })
}

test('sock_diag: where the numbers tell nothing, who listens does', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  // What the own machine throws away has been sent for the kernel, each time it tries, but it is not under way.
  for (const { run } of [client, server]) {
    run('iptables', ...'-A OUTPUT -p tcp -m length --length 500:65535 -j DROP'.split(' '))
  }
  // One more than will come, so it goes on listening.
  await keeping(server, 'leave', '10.77.2.2', 7000, COUNT + 1, 1000)
  await keeping(client, 'hold', '10.77.2.2', 7000, COUNT, 1000)
  for (const namespace of [client, server]) {
    const sockets = await socketsIn(namespace, [TCP.ESTABLISHED], true)
    assert.deepEqual(
      sockets.map(({ dialled }) => dialled),
      Array(COUNT).fill(undefined),
    )
  }
  const receiver = await startReceiver(t, { inside: [client, server], config: { source: 'sock_diag' } })
  assert.deepEqual(active(await receiver.collect(), TO), [COUNT, COUNT, COUNT, COUNT])
})
