// Translated connections followed to their real end: compared with what the server says who was reached.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { endpointText } from '../../receivers/host/address.ts'
import type { Namespaces } from '../../receivers/host/namespaces.ts'
import { type Nat, openNat, type Resolution } from '../../receivers/host/nat.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Dialled, dial, serve } from './dialling.ts'
import { clientRouterServer, inside, makeCgroupRoot, makeNamespace, type Namespace, startQuietHost } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

/** With the router's namespace as that of the host. */
async function followed(
  t: TestContext,
  router: Namespace,
  ...others: Namespace[]
): Promise<{ nat: Nat; log: ReturnType<typeof listeningLog> }> {
  const log = listeningLog()
  const host = await startQuietHost(t, log)
  for (const namespace of [router, ...others]) {
    host.namespaces.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  }
  const namespaces: Namespaces = { ...host.namespaces, initial: router.inode }
  const nat = openNat(namespaces, log)
  atEnd(t, () => nat.stop())
  return { nat, log }
}

const said = (resolution: Resolution | undefined): string =>
  resolution?.state === 'translated' ? endpointText(resolution.address, resolution.port) : String(resolution?.state)

const resolved = (nat: Nat, netns: number, dialled: readonly Dialled[]): string[] =>
  nat.resolve(dialled.map(({ tuple }) => ({ ...tuple, netns }))).map(said)

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
  client.run(
    'iptables',
    '-t',
    'nat',
    '-A',
    'OUTPUT',
    '-d',
    '10.50.0.1',
    '-p',
    'tcp',
    '-j',
    'DNAT',
    '--to-destination',
    '10.96.0.1:81',
  )
  client.run('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-d', '10.96.0.1', '-j', 'SNAT', '--to-source', '10.77.1.9')
  router.run(
    'iptables',
    '-t',
    'nat',
    '-A',
    'PREROUTING',
    '-d',
    '10.96.0.1',
    '-p',
    'tcp',
    '-j',
    'DNAT',
    '--to-destination',
    '10.77.2.3:8080',
  )
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
  router.run(
    'iptables',
    '-t',
    'nat',
    '-A',
    'OUTPUT',
    '-d',
    '10.96.0.1',
    '-p',
    'tcp',
    '-j',
    'DNAT',
    '--to-destination',
    '10.77.2.2:8080',
  )
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
      router.run(
        'iptables',
        '-t',
        'nat',
        '-A',
        'PREROUTING',
        '-d',
        '10.96.0.1',
        '-j',
        'DNAT',
        '--to-destination',
        address,
      )
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

test(
  'new translations are heard of, in the host and in a namespace that is joined to it, and direct ones are not',
  needs,
  async (t) => {
    const { client, router, server } = clientRouterServer(t)
    client.run(
      'iptables',
      '-t',
      'nat',
      '-A',
      'OUTPUT',
      '-d',
      '10.50.0.1',
      '-p',
      'tcp',
      '-j',
      'DNAT',
      '--to-destination',
      '10.77.2.2:8080',
    )
    router.run(
      'iptables',
      '-t',
      'nat',
      '-A',
      'PREROUTING',
      '-d',
      '10.96.0.1',
      '-p',
      'tcp',
      '-j',
      'DNAT',
      '--to-destination',
      '10.77.2.3:8080',
    )
    await serve(server, 8080)
    const { nat } = await followed(t, router, client)
    assert.equal(nat.hears, 'all')
    const dialled = await dial(
      client,
      { to: '10.96.0.1', port: 80 },
      { to: '10.50.0.1', port: 80 },
      { to: '10.77.2.2', port: 8080 },
    )
    const { translations, lost } = nat.heard()
    assert.equal(lost, false)
    const heard = translations.map(({ netns, original, actual }) => [
      netns === router.inode ? 'router' : netns === client.inode ? 'client' : netns,
      endpointText(original.source, original.sourcePort),
      endpointText(original.destination, original.destinationPort),
      endpointText(actual.address, actual.port),
    ])
    const port = (i: number) => dialled[i]?.tuple.sourcePort
    assert.deepEqual(heard.toSorted(), [
      ['client', `10.77.1.2:${port(1)}`, '10.50.0.1:80', '10.77.2.2:8080'],
      ['router', `10.77.1.2:${port(0)}`, '10.96.0.1:80', '10.77.2.3:8080'],
    ])
    assert.deepEqual(nat.heard(), { translations: [], lost: false })
  },
)

test('a namespace that tracked nothing is followed as soon as it does', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const before = await dial(client, { to: '10.77.2.2', port: 8080 })
  assert.deepEqual(resolved(nat, client.inode, before), ['untracked'])
  const asked = nat.counts().asked
  assert.deepEqual(resolved(nat, client.inode, before), ['untracked'])
  assert.equal(nat.counts().asked, asked + 1, 'only the host is asked again')
  client.run(
    'iptables',
    '-t',
    'nat',
    '-A',
    'OUTPUT',
    '-d',
    '10.77.2.2',
    '-p',
    'tcp',
    '-j',
    'DNAT',
    '--to-destination',
    '10.77.2.3',
  )
  const after = await dial(client, { to: '10.77.2.2', port: 8080 })
  assert.deepEqual(resolved(nat, client.inode, [...before, ...after]), ['untracked', '10.77.2.3:8080'])
})

test('what was heard and nobody asks about is forgotten', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  router.run('iptables', ...'-t nat -A PREROUTING -d 10.96.0.1 -j DNAT --to-destination 10.77.2.3'.split(' '))
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  await dial(
    client,
    ...Array.from({ length: 300 }, (_, i) => ({
      to: '10.96.0.1',
      port: 8080,
      localPort: 43_000 + i,
      end: 'rst' as const,
    })),
  )
  await until('all are heard of', () => {
    nat.heard()
    return nat.counts().remembered === 300
  })
  await until('all are forgotten', () => {
    nat.heard()
    return nat.counts().remembered === 0
  })
})

test('a connection that was forgotten long ago is answered by what was heard of it', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  router.run(
    'iptables',
    '-t',
    'nat',
    '-A',
    'PREROUTING',
    '-d',
    '10.96.0.1',
    '-p',
    'tcp',
    '-j',
    'DNAT',
    '--to-destination',
    '10.77.2.3:8080',
  )
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const [dialled] = await dial(client, { to: '10.96.0.1', port: 80, end: 'rst' })
  assert.ok(dialled)
  router.run('conntrack', '-D', '-p', 'tcp')
  assert.deepEqual(resolved(nat, client.inode, [dialled]), ['untracked'])
  const connection = { ...dialled.tuple, netns: client.inode, dialledNs: dialled.dialledNs }
  assert.deepEqual(nat.resolve([connection]).map(said), ['10.77.2.3:8080'])
  const later = { ...connection, dialledNs: Number(process.hrtime.bigint()) }
  assert.deepEqual(nat.resolve([later]).map(said), ['untracked'], 'not for another one of the same tuple')
})

/** What a process without these capabilities answers, hears and says. */
function without(t: TestContext, ...capabilities: string[]): { states: string[]; hears: string; fixes: string[] } {
  const script = `
    import { startHost, hostSettings } from './receivers/host/index.ts'
    import { openNat } from './receivers/host/nat.ts'
    import { listeningLog } from './test/receivers/quiet.ts'
    const settings = hostSettings.parse({ cgroup_root: process.argv[1], docker: { endpoint: 'unix:///nowhere' } })
    const host = await startHost({ log: listeningLog(), settings })
    const log = listeningLog()
    const nat = openNat(host.namespaces, log)
    const address = Uint8Array.of(127, 0, 0, 1)
    const { initial: netns } = host.namespaces
    const connection = { source: address, sourcePort: 1, destination: address, destinationPort: 2, netns }
    const states = [1, 2, 3].flatMap(() => nat.resolve([connection])).map(({ state }) => state)
    console.log(JSON.stringify({ states, hears: nat.hears, fixes: log.said.map(({ fields }) => fields.fix) }))
    nat.stop()
    await host.stop()`
  const dropped = capabilities.map((name) => `-${name}`).join()
  const run = [process.execPath, '--input-type=module', '-e', script, '--', makeCgroupRoot(t)]
  const { stdout, stderr } = spawnSync('setpriv', [`--bounding-set=${dropped}`, `--inh-caps=${dropped}`, ...run], {
    encoding: 'utf8',
  })
  assert.equal(stderr, '')
  return JSON.parse(stdout)
}

test('without capabilities it says once which are missing, and answers that it does not know', needs, (t) => {
  assert.deepEqual(without(t, 'net_admin', 'net_broadcast', 'sys_admin'), {
    states: ['unknown', 'unknown', 'unknown'],
    hears: 'none',
    fixes: ['grant CAP_NET_ADMIN and CAP_NET_BROADCAST, or run as root'],
  })
})

test('without CAP_NET_BROADCAST only the namespace of the host is heard, and everything is answered', needs, (t) => {
  const { states, hears, fixes } = without(t, 'net_broadcast')
  assert.deepEqual(states, ['untracked', 'untracked', 'untracked'])
  assert.deepEqual([hears, fixes], ['host', ['grant CAP_NET_BROADCAST, or run as root']])
})

test('an agent in a network namespace of its own follows and hears what the host translates', needs, async (t) => {
  const agent = makeNamespace(t)
  const script = `
    import { startHost, hostSettings } from './receivers/host/index.ts'
    import { openNat } from './receivers/host/nat.ts'
    import { listeningLog } from './test/receivers/quiet.ts'
    const settings = hostSettings.parse({ cgroup_root: process.argv[1], docker: { endpoint: 'unix:///nowhere' } })
    const log = listeningLog()
    const host = await startHost({ log, settings })
    const { initial, own } = host.namespaces
    const nat = openNat(host.namespaces, log)
    const address = Uint8Array.of(192, 0, 2, 1)
    const tuple = { source: address, sourcePort: 1, destination: address, destinationPort: 2 }
    const states = nat.resolve([{ ...tuple, netns: own }, { ...tuple, netns: initial }]).map(({ state }) => state)
    const said = log.said.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message)
    console.log(JSON.stringify({ initial, own, hears: nat.hears, states, said }))
    nat.stop()
    await host.stop()`
  const run = [process.execPath, '--input-type=module', '-e', script, '--', makeCgroupRoot(t)]
  // nsenter and not ip-netns(8), which would hide the control groups.
  const { stdout, stderr } = spawnSync('nsenter', [`--net=/run/netns/${agent.name}`, ...run], { encoding: 'utf8' })
  assert.equal(stderr, '')
  const { initial, own, hears, states, said: warned } = JSON.parse(stdout)
  assert.deepEqual([own, `net:[${initial}]`], [agent.inode, readlinkSync('/proc/2/ns/net')])
  assert.deepEqual([hears, states], ['all', ['untracked', 'untracked']])
  assert.deepEqual(
    warned.filter((message: string) => !message.includes('control groups')),
    [],
  )
})

test('what is no tuple is not asked about, and somebody who only asks hears nothing', needs, async (t) => {
  const namespace = makeNamespace(t)
  const host = await startQuietHost(t)
  const namespaces: Namespaces = { ...host.namespaces, initial: namespace.inode }
  host.namespaces.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  const nat = openNat(namespaces, listeningLog(), { listen: false })
  atEnd(t, () => nat.stop())
  const [v4, v6] = [new Uint8Array(4), new Uint8Array(16).fill(1)]
  const resolved = [
    [v4, v6],
    [v6, v4],
    [new Uint8Array(), new Uint8Array()],
    [v4, v4],
    [v6, v6],
  ].map(([source, destination]) =>
    nat
      .resolve([
        {
          source: source ?? v4,
          sourcePort: 1,
          destination: destination ?? v4,
          destinationPort: 2,
          netns: namespace.inode,
        },
      ])
      .map(said),
  )
  assert.deepEqual(resolved.flat(), ['unknown', 'unknown', 'unknown', 'untracked', 'untracked'])
  assert.deepEqual([nat.hears, nat.heard()], ['none', { translations: [], lost: false }])
})

test('opened and stopped again and again, nothing stays open', needs, async (t) => {
  const namespace = makeNamespace(t)
  const host = await startQuietHost(t)
  host.namespaces.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  const tuple = { source: new Uint8Array(4), sourcePort: 1, destination: new Uint8Array(4), destinationPort: 2 }
  const round = () => {
    const nat = openNat(host.namespaces, listeningLog())
    nat.resolve([{ ...tuple, netns: namespace.inode }])
    nat.stop()
  }
  round()
  const held = () => ['fd', 'task'].map((what) => readdirSync(`/proc/self/${what}`).length)
  const before = held()
  for (let i = 0; i < 500; i++) round()
  assert.deepEqual(held(), before, 'descriptors and threads')
})
