// What following logs costs: 200 files, silent and at 20 000 lines a second, beside `tail -F` of the same files; the
// journal, silent and at 1500 lines a second (journald's own limit is 10 000 in 30 s), beside `journalctl -f`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeUnit, runJournald } from '../containers/journald.ts'
import type { Row } from './index.ts'

const FILES = 200
const SECONDS = 5
const STEP_MS = 50
const FILES_PER_STEP = 50
const READER = join(import.meta.dirname, 'log_reader.ts')

const LINE = `${'a line of a log as programs write them, '.repeat(3)}\n`
const FORMATS = {
  text: LINE,
  'json-file': `${JSON.stringify({ log: LINE, stream: 'stdout', time: '2026-11-25T14:14:33.123456789Z' })}\n`,
}

/** CPU in percent of a core; both read the same at the same time. */
export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const [format, line] of Object.entries(FORMATS)) rows.push(...(await ofFiles(format, line)))
  return [...rows, ...(await ofJournal())]
}

async function ofFiles(format: string, line: string): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-bench-logs-'))
  const paths = Array.from({ length: FILES }, (_, i) => join(folder, `${i}.log`))
  for (const path of paths) writeFileSync(path, '')
  try {
    const log = `${FILES} files, ${format}`
    return await sideBySide(log, 20_000, [format, folder], ['tail', '-q', '-F', ...paths], (lines) => {
      let next = 0
      return () => {
        for (let i = 0; i < FILES_PER_STEP; i++)
          appendFileSync(paths[next++ % FILES] ?? '', line.repeat(lines / FILES_PER_STEP))
      }
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function ofJournal(): Promise<Row[]> {
  const endJournald = await runJournald()
  const { enter, remove } = makeUnit(`leadline-bench-${process.pid}`)
  const cat = spawn('sh', ['-c', `${enter} && exec systemd-cat cat`], { stdio: ['pipe', 'ignore', 'ignore'] })
  try {
    const lines = (count: number) => () => void cat.stdin.write(LINE.repeat(count))
    return await sideBySide('journal', 1500, ['journal', '/run/log/journal'], ['journalctl', '-f'], lines)
  } finally {
    const gone = once(cat, 'exit')
    cat.stdin.end()
    await gone
    await remove()
    await endJournald()
  }
}

/** `step(lines)` returns what writes so many. */
async function sideBySide(
  log: string,
  linesPerSecond: number,
  reader: readonly string[],
  [peer = '', ...args]: readonly string[],
  step: (lines: number) => () => void,
): Promise<Row[]> {
  const ours = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', READER, ...reader], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const theirs = spawn(peer, args, { stdio: 'ignore' })
  const peerName = `${peer} ${args.find((argument) => /^-[fF]$/.test(argument))} % CPU`
  try {
    await once(ours.stdout, 'data')
    await sleep(4000)
    const write = step((linesPerSecond * STEP_MS) / 1000)
    const silent = await measure(ours, theirs, () => {})
    const busy = await measure(ours, theirs, write)
    const told = once(ours.stdout, 'data')
    ours.kill('SIGUSR2')
    const { longestTurnMs, lines } = JSON.parse(String((await told)[0])) as Record<string, number>
    const written = linesPerSecond * SECONDS
    if ((lines ?? 0) < written) throw new Error(`${log}: ${lines} lines were read of ${written}`)
    const row = (load: string, [us, it]: readonly [number, number]) => ({
      log,
      load,
      'ours % CPU': us.toFixed(2),
      [peerName]: it.toFixed(2),
      ratio: it < 0.01 ? 'none' : (us / it).toFixed(2),
    })
    const turn = longestTurnMs === undefined ? {} : { 'longest turn, ms CPU': longestTurnMs.toFixed(1) }
    return [row('silent', silent), { ...row(`${linesPerSecond} lines/s`, busy), ...turn }]
  } finally {
    ours.kill('SIGKILL')
    theirs.kill('SIGKILL')
  }
}

/** At an even pace. */
async function measure(ours: ChildProcess, theirs: ChildProcess, step: () => void): Promise<[number, number]> {
  const before = [cpuNs(ours), cpuNs(theirs)]
  const startMs = performance.now()
  for (let steps = 1; steps <= (SECONDS * 1000) / STEP_MS; steps++) {
    step()
    await sleep(Math.max(0, startMs + steps * STEP_MS - performance.now()))
  }
  await sleep(1500) // all is read
  const perNs = 100 / (SECONDS * 1e9)
  const [us = 0, it = 0] = [cpuNs(ours), cpuNs(theirs)].map((ns, i) => (ns - (before[i] ?? 0)) * perNs)
  return [us, it]
}

/** What all threads of a process have used, by their own clocks: ticks miss what timers wake. */
function cpuNs({ pid }: ChildProcess): number {
  const tasks = `/proc/${pid}/task`
  return readdirSync(tasks).reduce(
    (sum, task) => sum + Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]),
    0,
  )
}
