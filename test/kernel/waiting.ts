// Processes that wait for a CPU, in cgroups of their own, with the receiver looking on; and what the kernel says of them.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { metrics } from '@opentelemetry/api'
import * as z from 'zod/mini'
import delayAccounting from '../../receivers/delay_accounting/index.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { listeningLog } from '../receivers/quiet.ts'

export const CPU = 'container.resources.cpu.delay'
export type Source = 'bpf' | 'taskstats'
type Given = Awaited<ReturnType<typeof open>>

export async function withReceiver(
  config: { source: Source | 'auto'; history?: boolean },
  run: (given: Given) => Promise<void>,
): Promise<void> {
  const given = await open(config)
  try {
    await run(given)
  } finally {
    await given.close()
  }
}

async function open({ source, history = true }: { source: Source | 'auto'; history?: boolean }) {
  const log = listeningLog()
  const host = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: 'unix:///nowhere' } }) })
  const context = { host, log, meter: metrics.getMeter('test'), id: 'delay_accounting', logs: () => {} }
  const receiver = await delayAccounting.start({ source, history }, context)
  const made: string[] = []
  const started: ChildProcess[] = []
  return {
    log,
    host,
    /** Makes a cgroup of this name, or one inside another whose path is given. */
    cgroup(name: string, inside = host.layout.root): string {
      const path = join(inside, `leadline-delay-${process.pid}-${name}`)
      mkdirSync(path)
      made.unshift(path)
      return path
    },
    /** Starts a program inside a cgroup. */
    start(cgroup: string, command: string): ChildProcess {
      const child = spawn('sh', ['-c', `echo $$ > ${cgroup}/cgroup.procs && exec ${command}`], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      started.push(child)
      return child
    },
    /** Seconds per metric of one cgroup, after a collection. */
    async collect(cgroup: string): Promise<Record<string, number>> {
      const path = cgroup.slice(host.layout.root.length)
      const values: Record<string, number> = {}
      await host.refresh(1000)
      await receiver.collect({
        record(subject, metric, value) {
          if (subject.kind === 'cgroup' && subject.path === path) values[metric] = value
        },
        distribution: () => {},
        failed(error) {
          throw error
        },
      })
      return values
    },
    async close() {
      for (const child of started) await stop(child)
      await receiver.stop?.()
      await host.stop()
      for (const path of made) await removeCgroup(path)
    },
  }
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {} // it has ended
}

async function removeCgroup(path: string): Promise<void> {
  for (let tries = 0; existsSync(path) && tries < 100; tries++) {
    try {
      rmdirSync(path)
    } catch {
      for (const pid of members(path)) kill(Number(pid))
      await sleep(20) // its last task is still being reaped
    }
  }
}

/** What a program printed, when it has ended. */
export const output = (child: ChildProcess) =>
  new Promise<string>((resolve) => {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += chunk
    })
    child.once('close', () => resolve(text))
  })

/** The next line that a program prints. */
export const line = (child: ChildProcess) =>
  new Promise<string>((resolve) => child.stdout?.once('data', (chunk) => resolve(String(chunk).trim())))

const members = (cgroup: string) => readFileSync(`${cgroup}/cgroup.procs`, 'latin1').split('\n').filter(Boolean)

/** Stops all processes of a cgroup, looks, and lets them go on: what two look at then is the same. */
export async function whileStopped<T>(cgroup: string, look: () => Promise<T>): Promise<T> {
  const pids = members(cgroup)
  const stand = () => pids.every((pid) => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'latin1')))
  for (const pid of pids) process.kill(Number(pid), 'SIGSTOP')
  await until(async () => stand(), Boolean)
  try {
    return await look()
  } finally {
    for (const pid of pids) process.kill(Number(pid), 'SIGCONT')
  }
}

/** What all threads of a cgroup's processes waited for a CPU so far, in seconds. */
export function schedstat(cgroup: string): number {
  let ns = 0
  for (const pid of members(cgroup)) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[1])
    }
  }
  return ns / 1e9
}

/** Looks again until it holds, at most `seconds`; then the last value is returned as it is. */
export async function until<T>(look: () => Promise<T>, holds: (value: T) => boolean, seconds = 10): Promise<T> {
  const deadlineMs = Date.now() + seconds * 1000
  for (;;) {
    const value = await look()
    if (holds(value) || Date.now() > deadlineMs) return value
    await sleep(100)
  }
}
