// What one collection of delays costs by number of processes: summed in the kernel, by taskstats, and, as people do it
// by hand, out of /proc/*/schedstat. The three take turns, so that what else runs here meets all of them alike.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createNoopMeter } from '@opentelemetry/api'
import * as z from 'zod/mini'
import delayAccounting from '../../receivers/delay_accounting/index.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { buildTool } from '../tools/build.ts'
import type { Row } from './index.ts'

const CGROUPS = 10
const ROUNDS = 9
const IGNORE = { distribution() {}, record() {}, failed() {} }

/** One row per number of processes; medians in milliseconds, and how many times as much as the kernel's way. Needs root. */
export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const processes of [10, 1000, 10_000]) rows.push(await measure(processes))
  return rows
}

async function measure(processes: number): Promise<Row> {
  const log = listeningLog()
  const host = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: 'unix:///nowhere' } }) })
  const folders = Array.from({ length: CGROUPS }, (_, at) => `${host.layout.root}/leadline-bench-${process.pid}-${at}`)
  const sleepers = await Promise.all(folders.map((folder) => startSleepers(folder, processes / CGROUPS)))
  const open = (source: 'bpf' | 'taskstats') =>
    delayAccounting.start(
      { source, history: true },
      { host, log, meter: createNoopMeter(), id: 'delay_accounting', logs() {} },
    )
  const [bpf, taskstats] = [await open('bpf'), await open('taskstats')]
  const times = { bpf: [] as number[], taskstats: [] as number[], schedstat: [] as number[] }
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await host.refresh(1000)
      times.bpf.push(await timed(() => bpf.collect(IGNORE)))
      times.taskstats.push(await timed(() => taskstats.collect(IGNORE)))
      times.schedstat.push(await timed(readSchedstats))
    }
  } finally {
    await bpf.stop?.()
    await taskstats.stop?.()
    await host.stop()
    for (const child of sleepers) {
      child.stdin?.end()
      if (child.exitCode === null) await once(child, 'exit')
    }
    for (const folder of folders) await removeEmpty(folder)
  }
  const kernel = median(times.bpf)
  return {
    processes,
    'bpf ms': round2(kernel),
    'taskstats ms': round2(median(times.taskstats)),
    'schedstat files ms': round2(median(times.schedstat)),
    'taskstats / bpf': round2(median(times.taskstats) / kernel),
    'schedstat / bpf': round2(median(times.schedstat) / kernel),
  }
}

async function startSleepers(folder: string, count: number) {
  mkdirSync(folder)
  const child = spawn('sh', ['-c', `echo $$ > ${folder}/cgroup.procs && exec ${buildTool('sleepers')} ${count}`])
  await once(child.stdout, 'data')
  return child
}

/** Every thread of the machine, as a script would read them. */
function readSchedstats(): number {
  let waitedNs = 0
  for (const pid of readdirSync('/proc')) {
    if (!/^\d/.test(pid)) continue
    try {
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        waitedNs += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[1])
      }
    } catch {
      // It has ended.
    }
  }
  return waitedNs
}

async function removeEmpty(folder: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    // Some kernels tell a cgroup busy until the last of its members has been reaped.
    try {
      return rmdirSync(folder)
    } catch (error) {
      if (tries === 100) throw error
      if (readFileSync(`${folder}/cgroup.procs`, 'latin1') !== '') writeFileSync(`${folder}/cgroup.kill`, '1')
      await sleep(50)
    }
  }
}

async function timed(work: () => unknown): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const round2 = (value: number) => Math.round(value * 100) / 100
