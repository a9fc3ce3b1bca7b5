// What it costs to count connections: the applications' latency and CPU for each, with the agent and without, in turns;
// and the agent's own CPU and memory. The generator talks between two network namespaces of its own. Needs root.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../../native/paths.ts'
import { type Agent, launchAgent } from '../agent.ts'
import { buildTool } from '../tools/build.ts'
import type { Row } from './index.ts'

const ROUNDS = 3
const SECONDS = 3
const SETTLE_MS = 4000
const ADDRESS = '10.78.0.2'
const MOST = 90_000

/** One row per rate; medians. CPU in percent of one core, memory in MiB. 0 connections per second: as fast as it can. */
export async function run(): Promise<Row[]> {
  const tool = buildTool('connections')
  const [client, server] = [`leadline-bench-${process.pid}-c`, `leadline-bench-${process.pid}-s`]
  for (const name of [client, server]) execFileSync('ip', ['netns', 'add', name])
  try {
    link(client, server)
    const listener = spawn('ip', ['netns', 'exec', server, tool, 'listen', ADDRESS, '7000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(listener.stdout, 'data')
    const storm = (rate: number) => stormed(client, tool, listener.pid ?? 0, rate)
    await storm(0)
    const rows: Row[] = []
    for (const rate of [1000, 10_000, 0]) rows.push(await measure(rate, storm))
    rows.push(await holding(client, tool))
    listener.kill('SIGKILL')
    return rows
  } finally {
    for (const name of [client, server]) execFileSync('ip', ['netns', 'delete', name])
  }
}

function link(client: string, server: string): void {
  const ip = (...args: string[]) => execFileSync('ip', args)
  ip('link', 'add', 'veth-l', 'netns', client, 'type', 'veth', 'peer', 'name', 'veth-r', 'netns', server)
  for (const [name, device, address] of [
    [client, 'veth-l', '10.78.0.1/24'],
    [server, 'veth-r', `${ADDRESS}/24`],
  ] as const) {
    ip('-n', name, 'address', 'add', address, 'dev', device)
    for (const one of ['lo', device]) ip('-n', name, 'link', 'set', one, 'up')
  }
  execFileSync('ip', [
    'netns',
    'exec',
    client,
    'sysctl',
    '-qw',
    'net.ipv4.ip_local_port_range=1024 65535',
    'net.ipv4.tcp_tw_reuse=1',
  ])
}

type Storm = { readonly made: number; readonly latencyUs: number; readonly cpuUs: number; readonly perSecond: number }

async function stormed(client: string, tool: string, server: number, rate: number): Promise<Storm> {
  const count = rate === 0 ? MOST : rate * SECONDS
  const before = cpuSeconds(server)
  const child = spawn(
    'ip',
    ['netns', 'exec', client, tool, 'storm', ADDRESS, '7000', String(count), String(rate), 'rst'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(child, 'close')
  const [made = 0, , , latencyNs = 0, tookNs = 1, cpuUs = 0] = text.trim().split(' ').map(Number)
  const serverUs = (cpuSeconds(server) - before) * 1e6
  return { made, latencyUs: latencyNs / 1000, cpuUs: (cpuUs + serverUs) / made, perSecond: made / (tookNs / 1e9) }
}

async function measure(rate: number, storm: (rate: number) => Promise<Storm>): Promise<Row> {
  const without: Storm[] = []
  const beside: (Storm & { readonly agentCpu: number; readonly counted: number })[] = []
  let memory = { rssBytes: 0, anonBytes: 0, fileBytes: 0 }
  let bpfBytes = 0
  for (let round = 0; round < ROUNDS; round++) {
    without.push(await storm(rate))
    const agent = await launchSettled()
    try {
      const before = cpuSeconds(agent.pid)
      const startMs = performance.now()
      const result = await storm(rate)
      await sleep(Math.max(0, SECONDS * 1000 - (performance.now() - startMs)))
      const agentCpu = (100 * (cpuSeconds(agent.pid) - before)) / ((performance.now() - startMs) / 1000)
      beside.push({ ...result, agentCpu, counted: await countedBy(agent) })
      memory = agent.memory()
      bpfBytes = mapBytes(agent.pid)
    } finally {
      await agent.stop()
    }
  }
  const of = <T>(all: readonly T[], what: (one: T) => number) => median(all.map(what))
  return {
    'connections/s': Math.round(of(beside, ({ perSecond }) => perSecond)),
    'without /s': Math.round(of(without, ({ perSecond }) => perSecond)),
    'connect µs': round2(of(beside, ({ latencyUs }) => latencyUs)),
    'without µs': round2(of(without, ({ latencyUs }) => latencyUs)),
    'apps CPU µs': round2(of(beside, ({ cpuUs }) => cpuUs)),
    'without CPU µs': round2(of(without, ({ cpuUs }) => cpuUs)),
    'agent CPU %': round2(of(beside, ({ agentCpu }) => agentCpu)),
    made: beside.reduce((sum, { made }) => sum + made, 0),
    counted: beside.reduce((sum, { counted }) => sum + counted, 0),
    'RSS MiB': mib(memory.rssBytes),
    'anon MiB': mib(memory.anonBytes),
    'BPF MiB': mib(bpfBytes),
  }
}

/** How long a scrape takes that looks at many open sockets: both ends of each are on this machine. */
async function holding(client: string, tool: string): Promise<Row> {
  const child = spawn('ip', ['netns', 'exec', client, tool, 'hold', ADDRESS, '7000', '15000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  const agent = await launchSettled()
  try {
    await agent.scrape()
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      const startMs = performance.now()
      await agent.scrape()
      times.push(performance.now() - startMs)
    }
    return { 'open sockets': 30_000, 'scrape ms': round2(median(times)), 'RSS MiB': mib(agent.memory().rssBytes) }
  } finally {
    await agent.stop()
    child.kill('SIGKILL')
  }
}

async function countedBy(agent: Agent): Promise<number> {
  const page = await agent.scrape()
  return page.value('container_net_tcp_successful_connects_total', { destination: `${ADDRESS}:7000` }) ?? 0
}

/** As it ships, and when the work of its start is done. */
async function launchSettled(): Promise<Agent> {
  const main = join(root, 'otel-config/build/leadline.cjs')
  const agent = await launchAgent({ main, receivers: { tcp_connections: {} }, processors: { nat_resolution: {} } })
  await sleep(SETTLE_MS)
  return agent
}

/** User and system time of a process. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Kernel memory of the maps that a process holds. */
function mapBytes(pid: number): number {
  const names = execFileSync(
    'sh',
    ['-c', `cat /proc/${pid}/fdinfo/* 2>/dev/null | awk '/^memlock:/ {sum += $2} END {print sum + 0}'`],
    {
      encoding: 'utf8',
    },
  )
  return Number(names)
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
const round2 = (value: number): number => Math.round(value * 100) / 100
const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
