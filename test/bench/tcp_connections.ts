// What it costs to count connections: the applications' latency and CPU for each, with the agent and without, in turns;
// the agent's own CPU and memory at rest, under load and with many open sockets; and what it counts of a storm while it
// stands still. The generator talks between two network namespaces of its own. Needs root; takes about five minutes.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, launchAgent } from '../agent.ts'
import { buildTool } from '../tools/build.ts'
import type { Row } from './index.ts'

const ROUNDS = 5
const SECONDS = 3
const SETTLE_MS = 4000
const IDLE_SECONDS = 20
/** Connections per second while the agent learns. */
const LEARNT_AT = 500
const STILL_SECONDS = 3
const COLLECTIONS = 7
const ADDRESS = '10.78.0.2'
const MOST = 90_000
/** Of one process, of which some are needed for other things. */
const MOST_DESCRIPTORS = 15_000

/** One row per rate; medians, of what is added that of the differences between neighbours. CPU in percent of one core, memory in MiB. 0 connections per second: as fast as it can. */
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
    const rows: Row[] = [await idle()]
    for (const rate of [1000, 10_000, 0]) rows.push(await measure(rate, storm))
    for (const rate of [10_000, 0]) rows.push(await standing(rate, storm))
    for (const sockets of [10_000, 50_000]) rows.push(await holding(sockets, client, server, tool))
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
  let memory: Row = {}
  for (let round = 0; round < ROUNDS; round++) {
    without.push(await storm(rate))
    const agent = await launchSettled()
    try {
      // Once it is known that nobody translates them, connections to a destination are told no more one by one.
      await storm(LEARNT_AT)
      const known = await countedBy(agent)
      const before = cpuSeconds(agent.pid)
      const startMs = performance.now()
      const result = await storm(rate)
      await sleep(Math.max(0, SECONDS * 1000 - (performance.now() - startMs)))
      const agentCpu = (100 * (cpuSeconds(agent.pid) - before)) / ((performance.now() - startMs) / 1000)
      beside.push({ ...result, agentCpu, counted: (await countedBy(agent)) - known })
      memory = memoryOf(agent)
    } finally {
      await agent.stop()
    }
  }
  const of = <T>(all: readonly T[], what: (one: T) => number) => median(all.map(what))
  return {
    what: rate === 0 ? 'as fast as it can' : `${rate} connections/s`,
    'connections/s': Math.round(of(beside, ({ perSecond }) => perSecond)),
    'without /s': Math.round(of(without, ({ perSecond }) => perSecond)),
    'connect µs': round2(of(beside, ({ latencyUs }) => latencyUs)),
    'without µs': round2(of(without, ({ latencyUs }) => latencyUs)),
    'apps CPU µs': round2(of(beside, ({ cpuUs }) => cpuUs)),
    'without CPU µs': round2(of(without, ({ cpuUs }) => cpuUs)),
    'added CPU µs': round2(median(beside.map(({ cpuUs }, i) => cpuUs - (without[i]?.cpuUs ?? 0)))),
    'agent CPU %': round2(of(beside, ({ agentCpu }) => agentCpu)),
    made: beside.reduce((sum, { made }) => sum + made, 0),
    counted: beside.reduce((sum, { counted }) => sum + counted, 0),
    ...memory,
  }
}

async function idle(): Promise<Row> {
  const agent = await launchSettled()
  try {
    const before = cpuSeconds(agent.pid)
    await sleep(IDLE_SECONDS * 1000)
    const agentCpu = (100 * (cpuSeconds(agent.pid) - before)) / IDLE_SECONDS
    return { what: 'no connections', 'agent CPU %': round2(agentCpu), ...memoryOf(agent) }
  } finally {
    await agent.stop()
  }
}

/** A storm of which the agent sleeps through three seconds, with all its threads. */
async function standing(rate: number, storm: (rate: number) => Promise<Storm>): Promise<Row> {
  const agent = await launchSettled()
  try {
    process.kill(agent.pid, 'SIGSTOP')
    const running = storm(rate)
    await sleep(STILL_SECONDS * 1000)
    process.kill(agent.pid, 'SIGCONT')
    const { made, perSecond } = await running
    return {
      what: `agent stopped for ${STILL_SECONDS} s`,
      'connections/s': Math.round(perSecond),
      made,
      counted: await countedBy(agent),
      ...memoryOf(agent),
    }
  } finally {
    process.kill(agent.pid, 'SIGCONT')
    await agent.stop()
  }
}

/** What a collection costs that looks at many open sockets: both ends of each connection are on this machine. */
async function holding(sockets: number, client: string, server: string, tool: string): Promise<Row> {
  const started: ChildProcess[] = []
  const start = async (name: string, ...args: string[]) => {
    const child = spawn('ip', ['netns', 'exec', name, tool, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    started.push(child)
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    return Number(line)
  }
  let open = 0
  for (let port = 7001; open < sockets / 2; port++) {
    await start(server, 'listen', ADDRESS, String(port))
    const wanted = Math.min(MOST_DESCRIPTORS, sockets / 2 - open)
    const held = await start(client, 'hold', ADDRESS, String(port), String(wanted))
    if (held !== wanted) throw new Error(`${held} of ${wanted} connections could be held open`)
    open += held
  }
  const agent = await launchSettled()
  try {
    await agent.scrape()
    const times: number[] = []
    const before = cpuSeconds(agent.pid)
    for (let i = 0; i < COLLECTIONS; i++) {
      const startMs = performance.now()
      await agent.scrape()
      times.push(performance.now() - startMs)
    }
    const cpuMs = (1000 * (cpuSeconds(agent.pid) - before)) / COLLECTIONS
    return {
      what: `${sockets} open sockets`,
      'collection ms': round2(median(times)),
      'collection CPU ms': round2(cpuMs),
      made: open,
      counted: await activeBy(agent),
      ...memoryOf(agent),
    }
  } finally {
    await agent.stop()
    for (const child of started) child.kill('SIGKILL')
    await Promise.all(started.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
  }
}

const countedBy = (agent: Agent) => sumOf(agent, 'container_net_tcp_successful_connects_total')
const activeBy = (agent: Agent) => sumOf(agent, 'container_net_tcp_active_connections')

/** Over all who answered: what an agent that stood still could not resolve has a series of its own. */
async function sumOf(agent: Agent, metric: string): Promise<number> {
  const page = await agent.scrape()
  return page
    .all(metric)
    .filter(({ labels }) => labels.destination?.startsWith(`${ADDRESS}:`))
    .reduce((sum, { value }) => sum + value, 0)
}

/** As users start it, and when the work of its start is done. */
async function launchSettled(): Promise<Agent> {
  const agent = await launchAgent({
    launcher: true,
    receivers: { tcp_connections: {} },
    processors: { nat_resolution: {} },
  })
  await sleep(SETTLE_MS)
  return agent
}

/** All threads' of a process, in nanoseconds as the scheduler counts them: ticks miss what runs between them. */
function cpuSeconds(pid: number): number {
  let ns = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0])
  }
  return ns / 1e9
}

function memoryOf(agent: Agent): Row {
  const { rssBytes, anonBytes, fileBytes } = agent.memory()
  return {
    'RSS MiB': mib(rssBytes),
    'anon MiB': mib(anonBytes),
    'file MiB': mib(fileBytes),
    'BPF MiB': mib(mapBytes(agent.pid)),
  }
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
