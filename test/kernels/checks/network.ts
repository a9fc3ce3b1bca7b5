// Conntrack, sock_diag and rtnetlink as each kernel speaks them: connections that netfilter and IPVS translate, sockets
// and addresses. The server says which of its addresses was reached.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import * as z from 'zod/mini'
import { addressBytes, addressText, endpointText } from '../../../receivers/host/address.ts'
import { watchAddresses } from '../../../receivers/host/addresses.ts'
import { hostSettings, startHost } from '../../../receivers/host/index.ts'
import { openNat } from '../../../receivers/host/nat.ts'
import { dumpSockets, TCP } from '../../../receivers/host/sockets.ts'
import { listeningLog, type Said } from '../../receivers/quiet.ts'
import { defineCheck } from '../check.ts'

const REAL = { 4: '10.77.0.2', 6: 'fd77::2' }
/** Whom to dial, and where that ends. */
const SERVICES = {
  'netfilter, IPv4': { to: '10.96.0.1', port: 80, reached: `${REAL[4]}:8080` },
  'netfilter, IPv6': { to: 'fd96::1', port: 80, reached: `[${REAL[6]}]:8080` },
  IPVS: { to: '10.96.0.9', port: 80, reached: `${REAL[4]}:8080` },
  nobody: { to: REAL[4], port: 8080, reached: `${REAL[4]}:8080` },
} as const
type Service = keyof typeof SERVICES
const NAMES = Object.keys(SERVICES) as Service[]

type Followed = { readonly reached: string; readonly asked: string; readonly heard: string }
type Seen = { readonly ends: string; readonly cgroup: boolean; readonly sentBytes: number | undefined }
type Facts = {
  readonly followed: Readonly<Record<Service, Followed>>
  readonly hears: string
  /** Originals and actual ones of what was heard. */
  readonly translations: readonly string[]
  readonly sockets: readonly Seen[]
  readonly listeners: readonly (readonly [string, number])[]
  readonly addresses: { readonly ours: readonly string[]; readonly theirs: readonly string[] }
  readonly said: readonly Said[]
}

export const network = defineCheck<Facts>({
  name: 'network',

  async inside() {
    prepare()
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.write(JSON.stringify([socket.localAddress, socket.localPort]))
    })
    await new Promise<void>((resolve) => server.listen({ port: 8080, host: '::', backlog: 9 }, resolve))
    const log = listeningLog()
    const host = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: 'unix:///nowhere' } }) })
    const { initial: netns } = host.namespaces
    const nat = openNat(host.namespaces, log)
    const dialled: ({ name: Service } & Awaited<ReturnType<typeof dial>>)[] = []
    for (const name of NAMES) dialled.push({ name, ...(await dial(SERVICES[name])) })
    const resolve = (since: boolean) =>
      nat
        .resolve(dialled.map(({ tuple, dialledNs }) => ({ ...tuple, netns, ...(since && { dialledNs }) })))
        .map((one) => (one.state === 'translated' ? endpointText(one.address, one.port) : one.state))
    const [asked, heard] = [resolve(false), resolve(true)]
    const translations = nat
      .heard()
      .translations.map(
        ({ original, actual }) =>
          `${endpointText(original.destination, original.destinationPort)} ${endpointText(actual.address, actual.port)}`,
      )
    const sockets: Seen[] = []
    const listeners: [string, number][] = []
    const questions = ([2, 10] as const).map((family) => ({
      family,
      states: [TCP.ESTABLISHED, TCP.LISTEN],
      info: true,
    }))
    for await (const piece of dumpSockets(undefined, questions)) {
      for (const one of piece) {
        const from = endpointText(one.source, one.sourcePort)
        if (one.state === TCP.LISTEN) listeners.push([from, one.sendQueue])
        else {
          const ends = `${from} ${endpointText(one.destination, one.destinationPort)}`
          sockets.push({ ends, cgroup: (one.cgroup ?? 0) > 0, sentBytes: one.info?.sentBytes })
        }
      }
    }
    const addresses = watchAddresses(host.namespaces)
    const ours = (addresses.of(netns) ?? []).map(
      ({ address, prefixLength }) => `${addressText(address)}/${prefixLength}`,
    )
    const theirs = [...output('ip', 'address').matchAll(/^\s+inet6? (\S+)/gm)].map(([, address = '']) => address)
    const facts = {
      followed: Object.fromEntries(
        dialled.map(({ name, reached }, i) => [name, { reached, asked: asked[i] ?? '', heard: heard[i] ?? '' }]),
      ) as Facts['followed'],
      hears: nat.hears,
      translations,
      sockets,
      listeners,
      addresses: { ours, theirs },
      said: log.said,
    }
    addresses.close()
    nat.stop()
    await host.stop()
    for (const { end } of dialled) end()
    server.close()
    return facts
  },

  judge: Object.fromEntries([
    ...NAMES.map((name) => [
      `what ${name} translates is followed to the one who answers, by asking and by what was heard`,
      ({ followed, said }: Facts) => {
        const { reached } = SERVICES[name]
        const expected = name === 'nobody' ? 'direct' : reached
        assert.deepEqual(followed[name], { reached, asked: expected, heard: expected }, JSON.stringify(said))
      },
    ]),
    [
      'the kernel tells of each translation, and of no other connection',
      ({ translations, hears }: Facts) => {
        const translated = NAMES.filter((name) => name !== 'nobody').map((name) => SERVICES[name])
        const expected = translated.map(
          ({ to, port, reached }) => `${to.includes(':') ? `[${to}]` : to}:${port} ${reached}`,
        )
        assert.deepEqual(translations.toSorted(), expected.toSorted())
        assert.equal(hears, 'all')
      },
    ],
    [
      'sockets of both families have their cgroup where the kernel tells, what they sent, and a listener its limit',
      ({ sockets, listeners }: Facts) => {
        assert.deepEqual(listeners, [['[::]:8080', 9]])
        assert.equal(sockets.length, 2 * NAMES.length)
        for (const { ends, cgroup, sentBytes } of sockets) {
          assert.ok(cgroup, `${ends} has a cgroup`)
          const isServer = /^\S+:8080 /.test(ends)
          assert.equal(sentBytes !== 0, isServer, `${ends} sent ${sentBytes}`)
        }
      },
    ],
    [
      'addresses are those of ip',
      ({ addresses: { ours, theirs } }: Facts) => {
        assert.deepEqual(ours.toSorted(), theirs.toSorted())
        assert.ok(ours.includes(`${REAL[4]}/32`) && ours.includes(`${REAL[6]}/128`))
      },
    ],
  ]),
})

const output = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8' })

function prepare(): void {
  for (const address of ['10.77.0.2/32', '10.96.0.1/32', '10.96.0.9/32', 'fd77::2/128', 'fd96::1/128'])
    output('ip', 'address', 'add', address, 'dev', 'lo')
  const chain = (family: string, from: string, to: string) =>
    `table ${family} nat {\n chain out {\n type nat hook output priority -100;\n ${family} daddr ${from} tcp dport 80 dnat to ${to}\n }\n }\n`
  output('nft', chain('ip', '10.96.0.1', `${REAL[4]}:8080`) + chain('ip6', 'fd96::1', `[${REAL[6]}]:8080`))
  output('ipvsadm', '-A', '-t', '10.96.0.9:80', '-s', 'rr')
  output('ipvsadm', '-a', '-t', '10.96.0.9:80', '-r', `${REAL[4]}:8080`, '-m')
  // Without it IPVS keeps its connections to itself.
  writeFileSync('/proc/sys/net/ipv4/vs/conntrack', '1')
}

async function dial({ to, port }: { to: string; port: number }) {
  const dialledNs = Number(process.hrtime.bigint())
  const socket = connect(port, to)
  socket.on('error', () => {})
  const [data] = (await once(socket, 'data')) as [Buffer]
  const [address, reachedPort] = JSON.parse(data.toString()) as [string, number]
  const bytes = (text = '') => addressBytes(text) ?? new Uint8Array()
  return {
    dialledNs,
    tuple: {
      source: bytes(socket.localAddress),
      sourcePort: socket.localPort ?? 0,
      destination: bytes(to),
      destinationPort: port,
    },
    reached: endpointText(bytes(address), reachedPort),
    end: () => socket.destroy(),
  }
}
