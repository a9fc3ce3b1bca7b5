// Conntrack's own messages: what the kernel filters for us, what it dumps, and what a full buffer loses.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { type Netlink, type NetlinkOptions, openNetlink } from '../../native/index.ts'
import { endpointText } from '../../receivers/host/address.ts'
import {
  type ConntrackEntry,
  conntrackEntries,
  countConntrack,
  dumpRequest,
  isTranslated,
  NETLINK_NETFILTER,
  NFNLGRP_CONNTRACK_DESTROY,
  NFNLGRP_CONNTRACK_NEW,
} from '../../receivers/host/conntrack.ts'
import { translatedTcpFilter } from '../../receivers/host/conntrack_filter.ts'
import { datagrams } from '../../receivers/host/netlink.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { dial, serve } from './dialling.ts'
import { makeNamespace, type Namespace } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

function openIn(t: TestContext, { name }: Namespace, options: Omit<NetlinkOptions, 'protocol' | 'namespace'> = {}) {
  const fd = openSync(`/run/netns/${name}`, 'r')
  try {
    const netlink = openNetlink({ protocol: NETLINK_NETFILTER, namespace: fd, ...options })
    atEnd(t, () => netlink.close())
    return netlink
  } finally {
    closeSync(fd)
  }
}

function heard(netlink: Netlink): (ConntrackEntry & { event: string })[] {
  const { datagrams: bytes } = netlink.drain()
  return [...datagrams(bytes)].flatMap(({ at, end }) => [...conntrackEntries(bytes, at, end)])
}

const written = ({ protocol, original, reply }: ConntrackEntry) =>
  `${protocol} ${endpointText(original.source, original.sourcePort)} ${endpointText(original.destination, original.destinationPort)} ${endpointText(reply.source, reply.sourcePort)}`

/** One namespace with addresses of its own that differ in one place, and DNAT between them. */
function translating(t: TestContext): Namespace {
  const namespace = makeNamespace(t)
  const { run } = namespace
  for (const address of ['10.3.0.1', '10.3.0.2', '11.3.0.1', 'fd03::1', 'fd03::2', 'fd03:0:0:1::1', 'fd04::1'])
    run('ip', 'address', 'add', address, 'dev', 'lo', ...(address.includes(':') ? ['nodad'] : []))
  run(
    'nft',
    `table inet nat { chain out { type nat hook output priority -100;
      tcp dport 81 redirect to :8080
      ip daddr 10.3.0.1 meta l4proto { tcp, udp } th dport 82 dnat ip to 10.3.0.2:8080
      ip daddr 10.3.0.1 tcp dport 8081 dnat ip to 11.3.0.1
      ip6 daddr fd03::1 tcp dport 82 dnat ip6 to [fd03::2]:8080
      ip6 daddr fd03::1 tcp dport 8081 dnat ip6 to fd03:0:0:1::1
      ip6 daddr fd03::1 tcp dport 8082 dnat ip6 to fd04::1
    }
    }`,
  )
  return namespace
}

const DIALS = [
  ...[81, 82, 8080, 8081].map((port) => ({ to: '10.3.0.1', port })),
  ...[81, 82, 8080, 8081, 8082].map((port) => ({ to: 'fd03::1', port })),
]

test(
  'the filter lets pass what is translated, in any word of the address or in the port, and nothing else',
  needs,
  async (t) => {
    const namespace = translating(t)
    await serve(namespace, 8080, 8081, 8082)
    const groups = [NFNLGRP_CONNTRACK_NEW]
    const [all, filtered] = [
      openIn(t, namespace, { groups }),
      openIn(t, namespace, { groups, filter: translatedTcpFilter() }),
    ]
    const dialled = await dial(namespace, ...DIALS)
    const udp = `IO::Socket::INET->new(Proto => 'udp', PeerAddr => '10.3.0.1:82')->send('x')`
    namespace.run('perl', '-MIO::Socket::INET', '-e', udp)
    const everything = heard(all)
    const direct = DIALS.filter(
      ({ to, port }, i) => dialled[i]?.reached === (to.includes(':') ? `[${to}]:${port}` : `${to}:${port}`),
    )
    assert.equal(direct.length, 2, 'as the server tells')
    assert.ok(
      everything.some(({ protocol }) => protocol === 17),
      'UDP is told of without the filter',
    )
    assert.deepEqual(
      heard(filtered).map(written),
      everything.filter((entry) => entry.protocol === 6 && isTranslated(entry)).map(written),
    )
    const tcp = everything.filter(({ protocol }) => protocol === 6)
    assert.deepEqual([tcp.length, tcp.filter(isTranslated).length], [DIALS.length, DIALS.length - direct.length])
  },
)

test(
  'a dump has what `conntrack -L` has, in one piece and in several, and only what is translated when asked',
  needs,
  async (t) => {
    const namespace = translating(t)
    await serve(namespace, 8080, 8081, 8082)
    await dial(namespace, ...DIALS)
    const netlink = openIn(t, namespace)
    const listed = ['ipv4', 'ipv6'].flatMap((family) =>
      namespace
        .run('conntrack', '-L', '-f', family, '-p', 'tcp')
        .split('\n')
        .filter((line) => line.startsWith('tcp')),
    )
    const families = [2, 10] as const
    const dumped = families.flatMap((family) => [...conntrackEntries(netlink.ask(dumpRequest(family)))])
    assert.equal(dumped.length, listed.length)
    for (const { original, reply } of dumped) {
      const [source, from] = [original, reply].map(
        (tuple) => `sport=${tuple.sourcePort} dport=${tuple.destinationPort}`,
      )
      assert.ok(
        listed.some((line) => line.includes(source ?? '') && line.includes(from ?? '')),
        `${source} ${from}`,
      )
    }
    assert.equal(countConntrack(netlink), dumped.length)

    const pieces = families.flatMap((family) => {
      const found: ConntrackEntry[] = []
      netlink.begin(dumpRequest(family))
      assert.throws(() => netlink.ask(dumpRequest(family)), { message: /a dump is under way/ })
      for (let piece = netlink.next(1); piece.length > 0; piece = netlink.next(1))
        found.push(...conntrackEntries(piece))
      return found
    })
    assert.deepEqual(pieces.map(written).toSorted(), dumped.map(written).toSorted())

    const translated = families.flatMap((family) => [
      ...conntrackEntries(netlink.ask(dumpRequest(family, { translated: true }))),
    ])
    assert.deepEqual(translated.map(written).toSorted(), dumped.filter(isTranslated).map(written).toSorted())
  },
)

test('the end of an entry is told too', needs, async (t) => {
  const namespace = translating(t)
  await serve(namespace, 8080)
  const netlink = openIn(t, namespace, { groups: [NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY] })
  await dial(namespace, { to: '10.3.0.1', port: 82 })
  namespace.run('conntrack', '-D', '-p', 'tcp')
  const [began, ended] = heard(netlink)
  assert.ok(began && ended)
  assert.deepEqual([began.event, ended.event], ['new', 'destroy'])
  assert.equal(written(began), written(ended))
})

test('what a full buffer loses is counted', needs, async (t) => {
  const namespace = translating(t)
  await serve(namespace, 8080)
  const netlink = openIn(t, namespace, { groups: [NFNLGRP_CONNTRACK_NEW], bufferBytes: 8192 })
  const sent = 100
  await dial(namespace, ...Array.from({ length: sent }, () => ({ to: '10.3.0.1', port: 82 })))
  const { datagrams: bytes, overflows, lost } = netlink.drain()
  const told = [...datagrams(bytes)].length
  assert.ok(overflows > 0 && told > 0 && told < sent, `${overflows} overflows, ${told} told`)
  assert.equal(told + lost, sent)
  await dial(namespace, { to: '10.3.0.1', port: 82 })
  assert.equal(heard(netlink).length, 1, 'it goes on')
})
