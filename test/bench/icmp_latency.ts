// What it costs to measure from many network namespaces: real ones, joined by a bridge to a namespace that has all the
// addresses. Its kernel answers, and counts: that is the truth about how many probes came, and how evenly.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Host } from '../../receivers/host/host.ts'
import icmpLatency from '../../receivers/icmp_latency/index.ts'
import { fixtureHost, started } from '../receivers/fixture_host.ts'
import type { Row } from './index.ts'

const SECONDS = 20
/** The first round asks everybody within the budget, and is not counted. */
const SETTLE_MS = 8000
const SAMPLE_MS = 200

/** What is measured from how many namespaces, and how many addresses each talks to. */
const SIZES = [
  [1, 0],
  [50, 5],
  [50, 50],
  [200, 50],
] as const

/** One row per size; the first is that of a receiver that has nothing to do. Needs root. */
export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const [namespaces, addresses] of SIZES) rows.push(await measure(namespaces, addresses))
  return rows
}

async function measure(count: number, each: number): Promise<Row> {
  const server = `leadline-bench-${process.pid}`
  const clients = Array.from({ length: count }, (_, i) => `${server}-${i}`)
  const addresses = Array.from({ length: each }, (_, i) => `10.211.0.${i + 1}`)
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

  /** How many are asked in each SAMPLE_MS, and CPU time meanwhile in ms: of the process, and of our thread. */
  const watch = async (seconds: number) => {
    const [cpu, startMs, thread] = [process.cpuUsage(), performance.now(), threadMs()]
    const samples: number[] = []
    for (let [last, lastMs] = [asked(), startMs]; performance.now() - startMs < seconds * 1000; ) {
      await sleep(SAMPLE_MS)
      const [now, nowMs] = [asked(), performance.now()]
      samples.push(((now - last) * SAMPLE_MS) / (nowMs - lastMs))
      ;[last, lastMs] = [now, nowMs]
    }
    const { user, system } = process.cpuUsage(cpu)
    return { samples, ms: performance.now() - startMs, cpuMs: (user + system) / 1000, threadMs: threadMs() - thread }
  }
  const alone = await watch(SECONDS / 2)
  const memoryBefore = liveBytes()
  const receiver = await started(icmpLatency, host, icmpLatency.config.parse({}))
  try {
    await sleep(SETTLE_MS)
    const watched = await watch(SECONDS)
    const memory = liveBytes() - memoryBefore
    const { samples } = watched
    const answered = (samples.reduce((all, one) => all + one) / samples.length) * (watched.ms / SAMPLE_MS)
    const cpuMs = watched.cpuMs - (alone.cpuMs * watched.ms) / alone.ms
    const percent = (ms: number) => round2((ms / watched.ms) * 100)
    const collectMs = performance.now()
    const after = await receiver.collect()
    const tookMs = performance.now() - collectMs
    const total = (name: string) =>
      [...after.points].reduce((all, [key, value]) => (key.startsWith(`container.net.${name}{`) ? all + value : all), 0)
    const medians = [...after.points]
      .filter(([key]) => key.startsWith('container.net.latency{'))
      .map(([, value]) => value)
    const mean = samples.reduce((all, one) => all + one) / samples.length
    const deviation = Math.sqrt(samples.reduce((all, one) => all + (one - mean) ** 2, 0) / samples.length)
    return {
      namespaces: clients.length,
      targets: clients.length * addresses.length,
      'probes/s': Math.round((answered / watched.ms) * 1000),
      '% of a core': percent(cpuMs),
      'of it the thread': percent(watched.threadMs),
      'µs/probe': answered > 0 ? Math.round((cpuMs * 1000) / answered) : '',
      'live MB': round2(memory / 1e6),
      [`per ${SAMPLE_MS} ms`]: `${round2(mean)} ± ${round2(deviation)}`,
      'by chance': `± ${round2(Math.sqrt(mean))}`,
      lost: total('probes.lost'),
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

/** What is held, after a collection of garbage: heap and buffers, kernel's and C++'s apart. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
