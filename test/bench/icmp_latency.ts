// What it costs to measure from many network namespaces: real ones, joined by a bridge to a namespace that has all the
// addresses. Its kernel answers, and counts: that is the truth about how many probes came, and how evenly.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../../receivers/host/host.ts'
import icmpLatency from '../../receivers/icmp_latency/index.ts'
import { fixtureHost, started } from '../receivers/fixture_host.ts'
import type { Row } from './index.ts'

const SECONDS = 20
const ADDRESSES = 50
/** The first round asks everybody within the budget, and is not counted. */
const SETTLE_MS = 8000
const SAMPLE_MS = 200

/** One row per number of namespaces, 50 addresses each. Needs root. */
export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const namespaces of [10, 50, 200]) rows.push(await measure(namespaces))
  return rows
}

async function measure(count: number): Promise<Row> {
  const server = `leadline-bench-${process.pid}`
  const clients = Array.from({ length: count }, (_, i) => `${server}-${i}`)
  const addresses = Array.from({ length: ADDRESSES }, (_, i) => `10.211.0.${i + 1}`)
  const batch = (lines: readonly string[], ...flags: string[]) =>
    execFileSync('ip', [...flags, '-batch', '-'], { input: lines.join('\n'), stdio: ['pipe', 'ignore', 'inherit'] })
  try {
    batch([server, ...clients].map((name) => `netns add ${name}`))
    // Behind a router: the kernel's table of neighbours is one for all namespaces, and holds 1024.
    const gateway = [
      'link add br0 type bridge',
      'link set br0 up',
      'link set lo up',
      'address add 10.210.255.254/16 dev br0',
    ]
    batch([...gateway, ...addresses.map((address) => `address add ${address}/32 dev lo`)], '-n', server)
    batch(clients.map((name, i) => `link add v${i} netns ${server} type veth peer name eth0 netns ${name}`))
    batch(
      clients.flatMap((_, i) => [`link set v${i} master br0`, `link set v${i} up`]),
      '-n',
      server,
    )
    for (const [i, name] of clients.entries()) {
      batch(
        [
          `address add 10.210.${1 + (i >> 7)}.${1 + (i & 127)}/16 dev eth0`,
          'link set eth0 up',
          'route add default via 10.210.255.254',
        ],
        '-n',
        name,
      )
    }
    return await measureIn(server, clients, addresses)
  } finally {
    batch(
      [server, ...clients].map((name) => `netns delete ${name}`),
      '-force',
    )
  }
}

async function measureIn(server: string, clients: readonly string[], addresses: readonly string[]): Promise<Row> {
  const path = new Map(clients.map((name) => [statSync(`/run/netns/${name}`).ino, `/run/netns/${name}`]))
  const base = fixtureHost({ cgroups: '/sys/fs/cgroup', containers: clients.map((name) => `/docker/${name}`) })
  const containers = new Map([...base.containers()].map((one) => [one.top.id, one]))
  const host: Host = {
    ...base,
    cgroup: (id) => containers.get(id)?.top,
    attribution(cgroup) {
      const container = containers.get(cgroup.id)
      return container ? { state: 'container', container } : { state: 'none' }
    },
    namespaces: {
      ...base.namespaces,
      has: (netns) => path.has(netns),
      within(netns, use) {
        const fd = openSync(path.get(netns) ?? '', 'r')
        try {
          return use(fd)
        } finally {
          closeSync(fd)
        }
      },
    },
  }
  const stopProviding = host.peers.provide()
  const inodes = [...path.keys()]
  for (const [i, { top }] of [...host.containers()].entries()) {
    for (const address of addresses) host.peers.note(top.id, inodes[i] ?? 0, address)
  }
  const waiter = spawn('ip', ['netns', 'exec', server, 'sh', '-c', 'echo; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(waiter.stdout, 'data')
  const asked = () => {
    const icmp = readFileSync(`/proc/${waiter.pid}/net/snmp`, 'latin1')
      .split('\n')
      .filter((line) => line.startsWith('Icmp:'))
    const at = icmp[0]?.split(' ').indexOf('InEchos') ?? -1
    return Number(icmp[1]?.split(' ')[at])
  }

  const rssBefore = process.memoryUsage().rss
  const receiver = await started(icmpLatency, host, icmpLatency.config.parse({}))
  try {
    await sleep(SETTLE_MS)
    const before = await receiver.collect()
    const [cpu, startMs, first] = [process.cpuUsage(), performance.now(), asked()]
    const thread = threadMs()
    const samples: number[] = []
    for (let last = first; performance.now() - startMs < SECONDS * 1000; ) {
      await sleep(SAMPLE_MS)
      const now = asked()
      samples.push(now - last)
      last = now
    }
    const { user, system } = process.cpuUsage(cpu)
    const ownThread = threadMs() - thread
    const seconds = (performance.now() - startMs) / 1000
    const answered = asked() - first
    const collectMs = performance.now()
    const after = await receiver.collect()
    const tookMs = performance.now() - collectMs
    const total = (points: typeof after.points, name: string) =>
      [...points].reduce((all, [key, value]) => (key.startsWith(`container.net.${name}{`) ? all + value : all), 0)
    const medians = [...after.points]
      .filter(([key]) => key.startsWith('container.net.latency{'))
      .map(([, value]) => value)
    const mean = samples.reduce((all, one) => all + one) / samples.length
    const deviation = Math.sqrt(samples.reduce((all, one) => all + (one - mean) ** 2, 0) / samples.length)
    return {
      namespaces: clients.length,
      targets: clients.length * addresses.length,
      'probes/s': Math.round(answered / seconds),
      '% of a core': round2(((user + system) / 1e6 / seconds) * 100),
      'of it the thread': round2(ownThread / 10 / seconds),
      'µs/probe': round2((user + system) / answered),
      'RSS MB': round2((process.memoryUsage().rss - rssBefore) / 1e6),
      [`per ${SAMPLE_MS} ms`]: `${round2(mean)} ± ${round2(deviation)}`,
      lost: total(after.points, 'probes.lost') - total(before.points, 'probes.lost'),
      'median µs': Math.round((medians.sort((a, b) => a - b)[medians.length >> 1] ?? Number.NaN) * 1e6),
      'collect ms': round2(tookMs),
    }
  } finally {
    stopProviding()
    await receiver.stop()
    waiter.kill('SIGKILL')
  }
}

const round2 = (value: number) => Math.round(value * 100) / 100

/** CPU time of the thread that sends and receives, its kernel's included: the namespaces answer inside its sending. */
function threadMs(): number {
  for (const task of readdirSync('/proc/self/task')) {
    const folder = `/proc/self/task/${task}`
    if (readFileSync(`${folder}/comm`, 'latin1').trim() !== 'echo') continue
    return Number(readFileSync(`${folder}/schedstat`, 'latin1').split(' ')[0]) / 1e6
  }
  return Number.NaN
}
