// What one collection of the cgroup receiver costs, by number of containers: real cgroups, empty ones.
import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import cgroup from '../../receivers/cgroup/index.ts'
import { readLayout } from '../../receivers/host/layout.ts'
import { fixtureHost, started } from '../receivers/fixture_host.ts'

import type { Row } from './index.ts'

const CGROUPS = '/sys/fs/cgroup'
const ROUNDS = 15

/** One row per number of containers; medians. Needs root: it makes cgroups, and removes them. */
export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const containers of [10, 50, 200]) rows.push(await measure(containers))
  return rows
}

async function measure(count: number): Promise<Row> {
  const { root, v1 } = readLayout(CGROUPS)
  const parent = `/leadline-bench-${process.pid}`
  const containers = Array.from({ length: count }, (_, i) => `${parent}/${i}`)
  const directories = [parent, ...containers].flatMap((path) =>
    [...new Set([root, ...v1.values()])].map((mount) => join(mount, path)),
  )
  const made: string[] = []
  try {
    for (const directory of directories) {
      mkdirSync(directory)
      made.push(directory)
    }
    const receiver = await started(cgroup, fixtureHost({ cgroups: CGROUPS, containers, others: [parent] }), {})
    const times: number[] = []
    const cpus: number[] = []
    let firstMs = 0
    let stallMs = 0
    let points = 0
    for (let round = 0; round < ROUNDS; round++) {
      const watch = watchStalls()
      const cpu = process.cpuUsage()
      const startMs = performance.now()
      points = (await receiver.collect()).points.size
      const tookMs = performance.now() - startMs
      const { user, system } = process.cpuUsage(cpu)
      if (round === 0) firstMs = tookMs
      else {
        times.push(tookMs)
        cpus.push((user + system) / 1000)
        stallMs = Math.max(stallMs, await watch.longestMs())
      }
      watch.stop()
    }
    await receiver.stop()
    return {
      containers: count,
      points,
      'first ms': round2(firstMs),
      'collect ms': round2(median(times)),
      'CPU ms': round2(median(cpus)),
      'µs per container': Math.round((median(times) * 1000) / count),
      'longest stall ms': round2(stallMs),
    }
  } finally {
    for (const directory of made.toReversed()) rmdirSync(directory)
  }
}

/** The longest time between two turns of the event loop. */
function watchStalls() {
  let lastMs = performance.now()
  let longest = 0
  let running = true
  const turn = () => {
    const now = performance.now()
    longest = Math.max(longest, now - lastMs)
    lastMs = now
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  return {
    async longestMs() {
      await new Promise((resolve) => setImmediate(resolve))
      return longest
    },
    stop() {
      running = false
    },
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const round2 = (value: number) => Math.round(value * 100) / 100
