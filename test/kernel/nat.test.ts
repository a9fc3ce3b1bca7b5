// Translated connections followed to their real end: compared with what the server says who was reached.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Dialled, dial, serve } from './dialling.ts'
import { followed, resolved, said } from './following.ts'
import { clientRouterServer, makeNamespace, type Namespace, translate } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

/** Of which `conntrack -L` has the same answer. */
function agreesWithConntrack({ run }: Namespace, { tuple, reached }: Dialled): void {
  const v6 = tuple.source.length === 16
  const line = run('conntrack', '-L', '-p', 'tcp', ...(v6 ? ['-f', 'ipv6'] : []))
    .split('\n')
    .find((entry) => entry.includes(`sport=${tuple.sourcePort} dport=${tuple.destinationPort} src=`))
  const [, address, port] = /dport=\d+ src=(\S+) dst=\S+ sport=(\d+)/.exec(line ?? '') ?? []
  assert.equal(v6 ? `[${address}]:${port}` : `${address}:${port}`, reached)
}

test('DNAT before routing, by iptables, IPv4 and IPv6', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  const rule = ['-t', 'nat', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '80', '-j', 'DNAT', '--to-destination']
  router.run('iptables', '-d', '10.96.0.1', ...rule, '10.77.2.2:8080')
  router.run('ip6tables', '-d', 'fd96::1', ...rule, '[fd77:2::3]:8080')
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const dialled = await dial(
    client,
    { to: '10.96.0.1', port: 80 },
    { to: 'fd96::1', port: 80 },
    { to: '10.77.2.3', port: 8080 },
  )
  assert.deepEqual(
    dialled.map(({ reached }) => reached),
    ['10.77.2.2:8080', '[fd77:2::3]:8080', '10.77.2.3:8080'],
  )
  assert.deepEqual(resolved(nat, client.inode, dialled), ['10.77.2.2:8080', '[fd77:2::3]:8080', 'direct'])
  for (const one of dialled) agreesWithConntrack(router, one)
})

test('DNAT by nftables, with SNAT behind it', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  router.run(
    'nft',
    `table ip nat {
    chain pre { type nat hook prerouting priority dstnat; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.77.2.3:8080; }
    chain post { type nat hook postrouting priority srcnat; masquerade; }
  }`,
  )
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const dialled = await dial(client, { to: '10.96.0.1', port: 80 }, { to: '10.77.2.2', port: 8080 })
  assert.match(dialled[0]?.seenFrom ?? '', /^10\.77\.2\.1:/, 'the source is translated too')
  assert.deepEqual(resolved(nat, client.inode, dialled), ['10.77.2.3:8080', 'direct'])
})

test('DNAT and SNAT in the namespace of the socket, followed by DNAT in that of the host', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  client.run('ip', 'address', 'add', '10.77.1.9/32', 'dev', 'lo')
  router.run('ip', 'route', 'add', '10.77.1.9', 'via', '10.77.1.2')
  translate(client, 'OUTPUT', '10.50.0.1', '10.96.0.1:81')
  client.run('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-d', '10.96.0.1', '-j', 'SNAT', '--to-source', '10.77.1.9')
  translate(router, 'PREROUTING', '10.96.0.1', '10.77.2.3:8080')
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const dialled = await dial(client, { to: '10.50.0.1', port: 80 }, { to: '10.77.2.2', port: 8080 })
  assert.deepEqual([dialled[0]?.reached, dialled[0]?.seenFrom.split(':')[0]], ['10.77.2.3:8080', '10.77.1.9'])
  assert.deepEqual(resolved(nat, client.inode, dialled), ['10.77.2.3:8080', 'direct'])
})

for (const end of ['fin', 'rst'] as const) {
  test(
    `a service with two back ends: every one of 1000 connections that end by ${end} has its own`,
    needs,
    async (t) => {
      const { client, router, server } = clientRouterServer(t)
      const backEnds = 'dnat to numgen random mod 2 map { 0 : 10.77.2.2, 1 : 10.77.2.3 }'
      const chain = `type nat hook prerouting priority dstnat; ip daddr 10.96.0.1 tcp dport 8080 ${backEnds};`
      router.run('nft', `table ip nat {\n chain pre { ${chain} }\n }`)
      await serve(server, 8080)
      const { nat } = await followed(t, router, client)
      const dialled = await dial(
        client,
        ...Array.from({ length: 1000 }, (_, i) => ({ to: '10.96.0.1', port: 8080, localPort: 42_000 + i, end })),
      )
      const truth = dialled.map(({ reached }) => reached)
      assert.deepEqual([...new Set(truth)].toSorted(), ['10.77.2.2:8080', '10.77.2.3:8080'])
      assert.deepEqual(resolved(nat, client.inode, dialled), truth, 'by asking')
      assert.equal(nat.counts().saved, 0)
      const heard = dialled.map(({ tuple, dialledNs }) => ({ ...tuple, dialledNs, netns: client.inode }))
      assert.deepEqual(nat.resolve(heard).map(said), truth, 'by what was heard')
      assert.equal(nat.counts().saved, 1000)
    },
  )
}

test('DNAT of what the host itself dials', needs, async (t) => {
  const { router, server } = clientRouterServer(t)
  translate(router, 'OUTPUT', '10.96.0.1', '10.77.2.2:8080')
  await serve(server, 8080)
  const { nat } = await followed(t, router)
  router.run('ip', 'route', 'add', '10.96.0.0/16', 'via', '10.77.2.2')
  const dialled = await dial(router, { to: '10.96.0.1', port: 443 })
  assert.equal(dialled[0]?.reached, '10.77.2.2:8080')
  assert.deepEqual(resolved(nat, router.inode, dialled), ['10.77.2.2:8080'])
})

test('equal tuples in two namespaces are two connections', needs, async (t) => {
  const host = makeNamespace(t)
  const [one, other] = [makeNamespace(t), makeNamespace(t)]
  const answers: string[] = []
  const { nat } = await followed(t, host, one, other)
  for (const [namespace, port] of [
    [one, 8001],
    [other, 8002],
  ] as const) {
    namespace.run(
      'iptables',
      '-t',
      'nat',
      '-A',
      'OUTPUT',
      '-p',
      'tcp',
      '--dport',
      '80',
      '-j',
      'REDIRECT',
      '--to-ports',
      String(port),
    )
    await serve(namespace, port)
    const dialled = await dial(namespace, { to: '127.0.0.1', port: 80, localPort: 40_000 })
    assert.equal(dialled[0]?.reached, `127.0.0.1:${port}`)
    answers.push(...resolved(nat, namespace.inode, dialled), ...resolved(nat, host.inode, dialled))
  }
  assert.deepEqual(answers, ['127.0.0.1:8001', 'untracked', '127.0.0.1:8002', 'untracked'])
})

test('without rules nothing is tracked, and asking does not change that', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const dialled = await dial(client, { to: '10.77.2.2', port: 8080 })
  assert.deepEqual(resolved(nat, client.inode, dialled), ['untracked'])
  assert.equal(router.run('sh', '-c', 'cat /proc/net/nf_conntrack 2>/dev/null | wc -l').trim(), '0')
})

test('rules that change while a source port is used again: each connection has its own answer', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  for (const end of ['rst', 'fin'] as const) {
    for (const address of ['10.77.2.2', '10.77.2.3', '10.77.2.2']) {
      router.run('iptables', '-t', 'nat', '-F')
      translate(router, 'PREROUTING', '10.96.0.1', address)
      const [dialled] = await dial(client, { to: '10.96.0.1', port: 8080, localPort: 41_000, end })
      assert.ok(dialled)
      assert.equal(dialled.reached, `${address}:8080`)
      const connection = { ...dialled.tuple, netns: client.inode, dialledNs: dialled.dialledNs }
      assert.deepEqual(nat.resolve([connection]).map(said), [dialled.reached], 'by what was heard')
      assert.deepEqual(resolved(nat, client.inode, [dialled]), [dialled.reached], 'by asking')
      // The client's end waits in TIME_WAIT after a FIN, and would keep the port.
      if (end === 'fin')
        await until('the port is free', () => client.run('ss', '-K', '-tan', 'sport = :41000') !== undefined)
      router.run('conntrack', '-D', '-p', 'tcp')
    }
  }
  assert.ok(nat.counts().saved > 0)
})
