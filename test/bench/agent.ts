// What the whole agent costs: the shipped bundle with its built-in configuration, looked at from outside. Idle beside
// nothing and beside fifty sleeping containers, and a page of 1 000 and of 10 000 series. Needs root and Docker.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../../native/paths.ts'
import { readLayout } from '../../receivers/host/layout.ts'
import { type Docker, openDocker } from '../containers/docker.ts'
import type { Row } from './index.ts'

const CONTAINERS = 50
const SECONDS = 45
const SCRAPE_EVERY_MS = 15_000
const SCRAPES = 9
/** Series that a control group without processes has on the page. */
const PAGES = [1000, 10_000]

/** CPU in percent of one core, memory in MiB, times in milliseconds. */
export async function run(): Promise<Row[]> {
  const docker = await openDocker('bench')
  try {
    const rows = [await idle(0)]
    const containers = await startContainers(docker)
    rows.push(await idle(CONTAINERS))
    await docker.remove(...containers)
    for (const series of PAGES) rows.push(await page(series))
    return rows
  } finally {
    await docker.close()
  }
}

async function startContainers(docker: Docker) {
  const containers = []
  for (let i = 0; i < CONTAINERS; i++) containers.push(await docker.run('idle', { command: ['sleep', '100000'] }))
  return containers
}

async function idle(containers: number): Promise<Row> {
  const agent = await startBundle()
  try {
    await sleep(3000)
    const before = cpuSeconds(agent.pid)
    const startMs = performance.now()
    let samples = 0
    while (performance.now() - startMs < SECONDS * 1000) {
      samples = (await agent.scrape()).samples
      await sleep(SCRAPE_EVERY_MS)
    }
    const cpu = (cpuSeconds(agent.pid) - before) / ((performance.now() - startMs) / 1000)
    return {
      what: `${containers} idle containers`,
      ...agent.start,
      'CPU %': round2(cpu * 100),
      ...memory(agent),
      samples,
    }
  } finally {
    await agent.stop()
  }
}

async function page(wanted: number): Promise<Row> {
  const one = await countSeries(1)
  const two = await countSeries(2)
  const cgroups = Math.ceil((wanted - one) / (two - one)) + 1
  const folders = makeContainers(cgroups)
  const agent = await startBundle()
  try {
    await sleep(3000)
    const times: number[] = []
    let last = { samples: 0, bytes: 0 }
    const before = cpuSeconds(agent.pid)
    for (let i = 0; i < SCRAPES; i++) {
      const startMs = performance.now()
      last = await agent.scrape()
      times.push(performance.now() - startMs)
      await sleep(1000)
    }
    const cpu = ((cpuSeconds(agent.pid) - before) * 1000) / SCRAPES
    const figures = {
      'scrape ms': round2(median(times)),
      'CPU ms a scrape': round2(cpu),
      KiB: Math.round(last.bytes / 1024),
    }
    return { what: `a page of ${wanted}`, ...agent.start, ...memory(agent), samples: last.samples, ...figures }
  } finally {
    await agent.stop()
    for (const folder of folders.toReversed()) rmdirSync(folder)
  }
}

async function countSeries(cgroups: number): Promise<number> {
  const folders = makeContainers(cgroups)
  const agent = await startBundle()
  try {
    await sleep(1500)
    return (await agent.scrape()).samples
  } finally {
    await agent.stop()
    for (const folder of folders.toReversed()) rmdirSync(folder)
  }
}

/** Control groups in all hierarchies, with names as Docker gives them. */
function makeContainers(count: number): string[] {
  const { root: canonical, v1 } = readLayout('/sys/fs/cgroup')
  const folders: string[] = []
  for (const mount of new Set([canonical, ...v1.values()])) {
    const parent = join(mount, 'docker')
    try {
      mkdirSync(parent)
      folders.push(parent)
    } catch {
      // Docker has made it.
    }
    for (let i = 0; i < count; i++) {
      const folder = join(parent, i.toString(16).padStart(64, '0'))
      mkdirSync(folder)
      folders.push(folder)
    }
  }
  return folders
}

/** The agent as people start it, on a free port. */
async function startBundle() {
  const port = await freePort()
  const startMs = performance.now()
  const set = ['--set', `exporters.prometheus.endpoint=localhost:${port}`]
  const child = spawn('sh', [join(root, 'otel-config/bin/leadline'), 'run', ...set], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ready = new Promise<number>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('Everything is ready')) resolve(performance.now() - startMs)
    })
  })
  const readyMs = await ready
  const scrape = async () => {
    const response = await fetch(`http://localhost:${port}/metrics`)
    const text = await response.text()
    return {
      samples: text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length,
      bytes: text.length,
    }
  }
  await scrape()
  const start = { 'ready ms': Math.round(readyMs), 'first page ms': Math.round(performance.now() - startMs) }
  return {
    pid: child.pid ?? 0,
    start,
    scrape,
    async stop() {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

/** All threads', in nanoseconds as the scheduler counts them: ticks miss what runs between them. */
function cpuSeconds(pid: number): number {
  let ns = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0])
  }
  return ns / 1e9
}

function memory({ pid }: { pid: number }) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const mib = (key: string) => Math.round(Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 102.4) / 10
  return { 'RSS MiB': mib('VmRSS'), 'anonymous MiB': mib('RssAnon') }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, 'localhost', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const round2 = (value: number) => Math.round(value * 100) / 100
