// Who consumes lines in tests: it runs the receiver in a process of its own, which can be killed, and writes down every
// number that it sees, by container, in a file that only grows.
import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readFileSync, writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { metrics } from '@opentelemetry/api'
import * as z from 'zod/mini'
import containerLogs from '../receivers/container_logs/index.ts'
import { hostSettings, startHost } from '../receivers/host/index.ts'
import type { LogChunk } from '../receivers/logs.ts'
import type { Logger } from '../receivers/receiver.ts'

export type Given = {
  /** Where the numbers go. */
  readonly ledger: string
  /** Settings of the receiver, as in a configuration file. */
  readonly config: object
  readonly host?: object
  /** How long each delivery takes longer than it must. */
  readonly slowMs?: number
  /** Files that the reader's machine lacks. */
  readonly lacks?: readonly string[]
  /** Where the root of the machine is to be seen from the reader, whose own journals are hidden from it. */
  readonly root?: string
}

/** What was seen of one stream: each number with how often it came. */
export type Seen = {
  readonly times: Map<number, number>
  /** Lines that have no number, or more or less in them than the writer writes. */
  readonly damaged: number
  readonly lines: number
  /** When the last of them was handed on, by the reader's clock, in milliseconds since the epoch. */
  readonly lastMs: number
}

/** Starts a reader; resolves when it reads. */
export async function startReader(given: Given): Promise<ChildProcess> {
  const masks = (given.lacks ?? []).map((path) => `mount --bind /dev/null ${path}`)
  if (given.root !== undefined) masks.push(`mount --rbind / ${given.root}`, 'mount -t tmpfs none /run/log')
  const script = [...masks, 'exec "$0" "$@"'].join(' && ')
  const wrapped = masks.length > 0 ? ['unshare', '--mount', 'sh', '-c', script] : []
  const [command = '', ...args] = [
    ...wrapped,
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    import.meta.filename,
    JSON.stringify(given),
  ]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve())
    child.once('exit', (code) => reject(new Error(`the reader ended with ${code}`)))
  })
  return child
}

/** SIGTERM, or SIGKILL for a crash; resolves when it is gone. */
export async function endReader(reader: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const gone = new Promise((resolve) => reader.once('exit', resolve))
  reader.kill(signal)
  await gone
}

/** What a reader tells of itself. */
export type Told = {
  /** By source and metric, of all containers. */
  readonly sums: Readonly<Record<string, number>>
  readonly rss: number
  /** How late timers were since it was asked before: the worst, and 99 of 100. */
  readonly longestTurnMs: number
  readonly usualTurnMs: number
}

export async function askReader(reader: ChildProcess): Promise<Told> {
  const answer = new Promise<string>((resolve) => reader.stdout?.once('data', (data) => resolve(String(data))))
  reader.kill('SIGUSR2')
  return JSON.parse(await answer) as Told
}

/** By `cgroup path` and source: `/docker/<id> stdout/stderr`. */
export function readLedger(path: string): Map<string, Seen> {
  const streams = new Map<string, Seen & { damaged: number; lines: number; lastMs: number }>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [subject, source, ranges, damaged, handedOnMs] = line.split('\t')
    if (ranges === undefined) continue
    const key = `${subject} ${source}`
    const seen = streams.get(key) ?? { times: new Map(), damaged: 0, lines: 0, lastMs: 0 }
    streams.set(key, seen)
    seen.damaged += Number(damaged)
    seen.lastMs = Number(handedOnMs)
    for (const range of ranges.split(',').filter(Boolean)) {
      const [first = 0, last = first] = range.split('-').map(Number)
      for (let n = first; n <= last; n++) seen.times.set(n, (seen.times.get(n) ?? 0) + 1)
      seen.lines += last - first + 1
    }
  }
  return streams
}

/** What is wrong with `count` numbers from 0 on: how many are missing, came again, or were damaged. */
export function faults(seen: Seen | undefined, count: number) {
  const { times = new Map<number, number>(), damaged = 0 } = seen ?? {}
  let missing = 0
  let again = 0
  for (let n = 0; n < count; n++) {
    const came = times.get(n) ?? 0
    if (came === 0) missing++
    if (came > 1) again += came - 1
  }
  return { missing, again, damaged }
}

const PREFIX = Buffer.from('seq=')
const LETTER = 'x'.charCodeAt(0)

/** `first-last,…` of a chunk's numbers, in their order. */
function numbersOf({ bytes }: LogChunk) {
  const ranges: string[] = []
  let damaged = 0
  let first = -1
  let last = -2
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at)
    const n = numberOf(bytes, at, end)
    at = end + 1
    if (n === undefined) damaged++
    else if (n === last + 1) last = n
    else {
      if (first !== -1) ranges.push(`${first}-${last}`)
      first = n
      last = n
    }
  }
  if (first !== -1) ranges.push(`${first}-${last}`)
  return { ranges, damaged }
}

/** Undefined for a line that test/tools/log_writer.c has not written so. */
function numberOf(bytes: Buffer, start: number, end: number): number | undefined {
  for (let i = 0; i < PREFIX.length; i++) if (bytes[start + i] !== PREFIX[i]) return undefined
  let n = 0
  let at = start + PREFIX.length
  for (; at < end && bytes[at] !== 32; at++) n = n * 10 + (bytes[at] ?? 0) - 48
  const letters = n % 997 === 996 ? 40_960 : 1 + ((n * 7919) % 120)
  return end - at - 1 === letters && bytes[end - 1] === LETTER ? n : undefined
}

const log: Logger = {
  debug() {},
  info() {},
  warn: (message, fields) => process.stderr.write(`reader: ${message} ${JSON.stringify(fields)}\n`),
  error: (message, fields) => process.stderr.write(`reader: ${message} ${JSON.stringify(fields)}\n`),
}

async function main({ ledger, config, host: hostConfig = {}, slowMs = 0 }: Given): Promise<void> {
  const fd = openSync(ledger, 'a')
  const host = await startHost({ log, settings: z.parse(hostSettings, hostConfig) })
  function sink(chunks: readonly LogChunk[]): void {
    const nowMs = Date.now()
    let text = ''
    for (const chunk of chunks) {
      const { subject, source } = chunk.stream
      const { ranges, damaged } = numbersOf(chunk)
      const who = subject.kind === 'node' ? 'node' : subject.path
      text += `${who}\t${source}\t${ranges.join(',')}\t${damaged}\t${nowMs}\n`
    }
    writeSync(fd, text)
    if (slowMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, slowMs)
  }
  const context = { host, log, meter: metrics.getMeter('test'), logs: sink, id: 'container_logs' }
  const receiver = await containerLogs.start(z.parse(containerLogs.config, config), context)
  const refreshing = setInterval(() => void host.refresh(500), 1000)
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  process.on('SIGUSR2', () => {
    const sums: Record<string, number> = {}
    receiver.collect({
      record(_subject, name, value, { source } = {}) {
        sums[`${source} ${name}`] = (sums[`${source} ${name}`] ?? 0) + value
      },
      distribution() {},
      failed() {},
    })
    const { rss } = process.memoryUsage()
    const told: Told = { sums, rss, longestTurnMs: delay.max / 1e6, usualTurnMs: delay.percentile(99) / 1e6 }
    process.stdout.write(`${JSON.stringify(told)}\n`)
    delay.reset()
  })
  process.stdout.write('ready\n')
  process.once('SIGTERM', async () => {
    clearInterval(refreshing)
    await receiver.stop?.()
    await host.stop()
    process.exit(0)
  })
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as Given)
