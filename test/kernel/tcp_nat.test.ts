// A service's address and the servers behind it: every connection is given to the server that answered, by what the
// rules of iptables and nftables counted themselves and by what `conntrack` says.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { requires } from '../requires.ts'
import { keepConntrack, listedByConntrack } from './conntrack_listing.ts'
import { clientRouterServer, inside, type Namespace } from './network.ts'
import { connections, keeping, killed, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')
const COUNT = 4000
/** LEADLINE_LONG=1: forty thousand connections. Each source port is used once, so that conntrack still knows all. */
const SERVICES = Array.from({ length: process.env.LEADLINE_LONG === '1' ? 10 : 1 }, (_, i) => `10.96.0.${1 + i}`)
const [SERVICE = ''] = SERVICES
const NETWORK = '10.96.0.0/24'
const BACK_ENDS = ['10.77.2.2:8080', '10.77.2.3:8080']

/** Connections that each rule sent to its back end. The first packet of a connection passes the rules, no other. */
type Counted = () => Record<string, number>

function iptables({ run }: Namespace): Counted {
  for (const [i, backEnd] of BACK_ENDS.entries()) {
    const last = i === BACK_ENDS.length - 1
    const choice = last ? [] : ['-m', 'statistic', '--mode', 'random', '--probability', '0.5']
    const rule = ['-p', 'tcp', '-d', NETWORK, '--dport', '80', ...choice, '-j', 'DNAT', '--to-destination', backEnd]
    run('iptables', '-t', 'nat', '-A', 'PREROUTING', ...rule)
  }
  return () =>
    counts(run('iptables', '-t', 'nat', '-L', 'PREROUTING', '-nvx'), /^\s*(\d+) .*to:(\S+)/gm, ([, times, to]) => [
      to,
      times,
    ])
}

function nftables({ run }: Namespace): Counted {
  run('nft', 'add table ip services; add chain ip services pre { type nat hook prerouting priority -100; }')
  run(
    'nft',
    `add rule ip services pre ip daddr ${NETWORK} tcp dport 80 numgen random mod 2 == 0 counter dnat to ${BACK_ENDS[0]}`,
  )
  run('nft', `add rule ip services pre ip daddr ${NETWORK} tcp dport 80 counter dnat to ${BACK_ENDS[1]}`)
  return () =>
    counts(run('nft', 'list', 'ruleset'), /counter packets (\d+) .*dnat to (\S+)/g, ([, times, to]) => [to, times])
}

function counts(
  text: string,
  line: RegExp,
  pair: (found: RegExpMatchArray) => (string | undefined)[],
): Record<string, number> {
  return Object.fromEntries(
    [...text.matchAll(line)].map((found) => {
      const [to = '', times] = pair(found)
      return [to, Number(times)]
    }),
  )
}

async function service(t: TestContext, rules: (router: Namespace) => Counted) {
  const network = clientRouterServer(t)
  const counted = rules(network.router)
  await keeping(network.server, 'listen', '0.0.0.0', 8080)
  await inside(network.router, network.router.start('sleep', '600'))
  return {
    ...network,
    counted,
    start: () => startReceiver(t, { inside: [network.client, network.server], initial: network.router }),
  }
}

for (const [name, rules] of [
  ['iptables', iptables],
  ['nftables', nftables],
] as const) {
  for (const end of ['fin', 'rst'] as const) {
    test(
      `${name}: ${COUNT * SERVICES.length} connections at 5000/s that end by ${end} are each with their back end`,
      needs,
      async (t) => {
        const { client, router, counted, start } = await service(t, rules)
        client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1')
        keepConntrack(router)
        const receiver = await start()
        const answered: Record<string, number> = {}
        for (const [i, address] of SERVICES.entries()) {
          const destination = `${address}:80`
          const [established] = await connections(
            client,
            'storm',
            address,
            80,
            COUNT,
            5000,
            end,
            10,
            20_000 + COUNT * i,
          )
          // The last bytes are told with the end of a connection, which comes after it has ceased to be active.
          const now = await receiver.collectUntil(
            (seen) =>
              seen.sum('active_connections', { destination }) === 0 &&
              seen.sum('bytes_sent', { destination }) === 10 * COUNT,
          )
          assert.equal(established, COUNT)
          assert.equal(now.sum('active_connections', { destination }), 0)
          assert.equal(now.sum('bytes_sent', { destination }), 10 * COUNT)
          for (const [server, count] of Object.entries(now.answered('successful_connects', destination))) {
            answered[server] = (answered[server] ?? 0) + count
          }
        }
        const truth = counted()
        assert.equal(
          Object.values(truth).reduce((sum, times) => sum + times),
          COUNT * SERVICES.length,
        )
        assert.deepEqual(answered, truth)
        assert.deepEqual(listedByConntrack(router), truth)
      },
    )
  }
}

test('translated connections that were there before the agent, and their end', needs, async (t) => {
  const { client, counted, start } = await service(t, iptables)
  const { child } = await keeping(client, 'hold', SERVICE, 80, 100, 10)
  const receiver = await start()
  for (let i = 0; i < 2; i++) {
    const now = await receiver.collect()
    assert.deepEqual(now.answered('active_connections', `${SERVICE}:80`), counted())
    assert.equal(now.sum('bytes_sent', { destination: `${SERVICE}:80` }), 1000)
  }
  await killed(child)
  const end = await receiver.collectUntil(
    (seen) => seen.sum('active_connections', { destination: `${SERVICE}:80` }) === 0,
  )
  assert.equal(end.sum('active_connections', { destination: `${SERVICE}:80` }), 0)
  assert.deepEqual(end.answered('successful_connects', `${SERVICE}:80`), counted())
})

test('a failed connect names who refused, and a rule that comes later is followed', needs, async (t) => {
  const { client, server, router, start } = await service(t, () => () => ({}))
  const receiver = await start()
  const direct = '10.77.2.2:8080'
  await connections(client, 'storm', '10.77.2.2', 8080, 500, 0, 'fin')
  assert.deepEqual((await receiver.collect()).answered('successful_connects', direct), { [direct]: 500 })

  const rule = ['PREROUTING', '-p', 'tcp', '-d', '10.77.2.2', '--dport', '8080', '-j', 'DNAT']
  router.run('iptables', '-t', 'nat', '-A', ...rule, '--to-destination', '10.77.2.3:8081')
  const refused = await connections(client, 'wait', '10.77.2.2', 8080, 1)
  assert.deepEqual(refused, [111])
  await new Promise((resolve) => setTimeout(resolve, 200)) // the first after a change may be told as before
  await keeping(server, 'listen', '10.77.2.3', 8081)
  await connections(client, 'storm', '10.77.2.2', 8080, 300, 0, 'rst')
  await connections(client, 'wait', '10.77.2.2', 8080, 1)
  const now = await receiver.collect()
  assert.deepEqual(now.answered('successful_connects', direct), { [direct]: 500, '10.77.2.3:8081': 301 })
})

test(
  'while JavaScript stands still for three seconds, translated connections keep their back ends',
  needs,
  async (t) => {
    const { client, counted, start } = await service(t, nftables)
    client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535')
    const receiver = await start()
    const storm = connections(client, 'storm', SERVICE, 80, 24_000, 8000, 'rst', 10)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000)
    const [established = 0, , sent] = await storm
    const destination = { destination: `${SERVICE}:80` }
    const now = await receiver.collectUntil((seen) => seen.sum('active_connections', destination) === 0)
    assert.equal(established, 24_000)
    const [answered, truth] = [now.answered('successful_connects', `${SERVICE}:80`), counted()]
    assert.equal(now.sum('successful_connects', destination), established)
    assert.deepEqual(answered, truth)
    assert.equal(now.sum('bytes_sent', destination), sent)
  },
)
