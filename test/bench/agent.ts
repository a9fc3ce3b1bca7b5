// What the whole agent costs: the shipped bundle with its built-in configuration, looked at from outside, beside
// nothing and beside fifty sleeping containers. Needs root and Docker.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../../native/paths.ts'
import { type Docker, openDocker } from '../containers/docker.ts'
import type { Row } from './index.ts'

const CONTAINERS = 50
const SECONDS = 45
const SCRAPE_EVERY_MS = 15_000

/** CPU in percent of one core, memory in MiB, times in milliseconds. */
export async function run(): Promise<Row[]> {
  const docker = await openDocker('bench')
  try {
    const rows = [await idle(0)]
    await startContainers(docker)
    rows.push(await idle(CONTAINERS))
    return rows
  } finally {
    await docker.close()
  }
}

async function startContainers(docker: Docker): Promise<void> {
  for (let i = 0; i < CONTAINERS; i++) await docker.run('idle', { command: ['sleep', '100000'] })
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

const round2 = (value: number) => Math.round(value * 100) / 100
