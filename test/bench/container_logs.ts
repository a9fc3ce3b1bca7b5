// What following 200 log files costs: silent, and at 20 000 lines a second; beside `tail -F` of the same files.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { followLogs } from '../../receivers/container_logs/followed.ts'
import { text } from '../../receivers/container_logs/formats/text.ts'
import { createTotals } from '../../receivers/container_logs/totals.ts'
import type { Host, Node } from '../../receivers/host/host.ts'
import type { Row } from './index.ts'

const FILES = 200
const LINES_PER_SECOND = 20_000
const SECONDS = 5
const STEP_MS = 50
const LINE = `${'a line of a log as programs write them, '.repeat(3)}\n`

/** CPU in percent of a core; both read the same files at the same time. */
export async function run(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-bench-logs-'))
  const paths = Array.from({ length: FILES }, (_, i) => join(folder, `${i}.log`))
  for (const path of paths) writeFileSync(path, '')
  const ours = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', import.meta.filename, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const tail = spawn('tail', ['-q', '-F', ...paths], { stdio: ['ignore', 'ignore', 'ignore'] })
  try {
    await once(ours.stdout, 'data')
    await sleep(4000)
    const rows = [await measure('silent', ours, tail, async () => sleep(SECONDS * 1000))]
    rows.push(await measure(`${LINES_PER_SECOND} lines/s`, ours, tail, () => write(paths)))
    return rows
  } finally {
    ours.kill()
    tail.kill()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measure(
  what: string,
  ours: ChildProcess,
  tail: ChildProcess,
  meanwhile: () => Promise<unknown>,
): Promise<Row> {
  const before = [cpuNs(ours), cpuNs(tail)]
  const startMs = performance.now()
  await meanwhile()
  const perNs = 100 / ((performance.now() - startMs) * 1e6)
  const [us = 0, it = 0] = [cpuNs(ours), cpuNs(tail)].map((ns, i) => (ns - (before[i] ?? 0)) * perNs)
  return {
    files: FILES,
    load: what,
    'ours % CPU': us.toFixed(2),
    'tail -F % CPU': it.toFixed(2),
    ratio: it < 0.01 ? 'none' : (us / it).toFixed(2),
  }
}

/** A few lines into each file in turn, at an even pace. */
async function write(paths: readonly string[]): Promise<void> {
  const startMs = performance.now()
  const perStep = (LINES_PER_SECOND * STEP_MS) / 1000 / 50
  let next = 0
  for (let step = 1; step <= (SECONDS * 1000) / STEP_MS; step++) {
    for (let i = 0; i < 50; i++) appendFileSync(paths[next++ % FILES] ?? '', LINE.repeat(perStep))
    await sleep(Math.max(0, startMs + step * STEP_MS - performance.now()))
  }
}

/** What all threads of a process have used, by their own clocks: ticks miss what timers wake. */
function cpuNs({ pid }: ChildProcess): number {
  const tasks = `/proc/${pid}/task`
  return readdirSync(tasks).reduce(
    (sum, task) => sum + Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]),
    0,
  )
}

/** The process that is measured. */
function follow(folder: string): void {
  const node: Node = { kind: 'node', bornMs: 0, endedMs: undefined }
  const limits = { maxLineBytes: 1 << 20, maxLagBytes: 2 ** 30, flushMs: 5000 }
  const host = { cgroup: () => undefined } as unknown as Host
  const failed = (error: Error) => void process.stderr.write(`${error.message}\n`)
  const followed = followLogs({
    sink: () => {},
    checkpoints: undefined,
    totals: createTotals(host),
    chain: { scratchDirectory: folder, mostUnpackedBytes: 1 << 20, failed },
    limits,
    select: () => 'yes',
    failed,
  })
  for (const name of readdirSync(folder)) {
    followed.add({
      key: name,
      path: join(folder, name),
      format: text(limits),
      source: name,
      outputs: false,
      subject: () => node,
      start: () => ({ at: 'end' }),
    })
  }
  process.stdout.write('ready\n')
  setInterval(() => {}, 1 << 30)
}

if (import.meta.main) follow(process.argv[2] ?? '')
