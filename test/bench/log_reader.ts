// The process that the bench of container_logs measures: it follows the files of a folder, or reads a journal, and hands
// the lines to nobody. On SIGUSR2 it tells how many there were, and how long its longest turn was.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { followLogs } from '../../receivers/container_logs/followed.ts'
import { jsonFile } from '../../receivers/container_logs/formats/json_file.ts'
import { text } from '../../receivers/container_logs/formats/text.ts'
import { noJournalCounts, readJournal } from '../../receivers/container_logs/journal.ts'
import { createTotals } from '../../receivers/container_logs/totals.ts'
import type { Cgroup, Host, Node } from '../../receivers/host/host.ts'

const FORMATS = { text, 'json-file': jsonFile }
const node: Node = { kind: 'node', bornMs: 0, endedMs: undefined }
const limits = { maxLineBytes: 1 << 20, maxLagBytes: 2 ** 30, flushMs: 5000 }
const failed = (error: Error) => void process.stderr.write(`${error.message}\n`)

const writer = { kind: 'cgroup', id: 1, path: '/writer', bornMs: 0, endedMs: undefined } as unknown as Cgroup
const host = { node, cgroup: () => writer, logs: { cgroupAt: () => writer, cgroupOf: () => writer } } as unknown as Host
const totals = createTotals(host)
let longestTurnMs = () => undefined as number | undefined

function follow(make: typeof text, folder: string): void {
  const followed = followLogs({
    sink() {},
    checkpoints: undefined,
    totals,
    chain: { scratchDirectory: folder, mostUnpackedBytes: 1 << 20, failed },
    limits,
    select: () => 'yes',
    failed,
  })
  for (const name of readdirSync(folder)) {
    followed.add({
      key: name,
      path: join(folder, name),
      format: make(limits),
      source: name,
      outputs: false,
      subject: () => node,
      start: () => ({ at: 'end' }),
    })
  }
  longestTurnMs = () => followed.longestTurnMs
}

function read(directory: string): void {
  const quiet = () => {}
  readJournal({
    host,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    sink() {},
    totals,
    counts: noJournalCounts(),
    checkpoints: undefined,
    directory,
    startAt: 'end',
    maxLineBytes: limits.maxLineBytes,
    select: () => 'yes',
    failed,
  })
}

function linesRead(): number {
  let lines = 0
  const record = (_subject: unknown, name: string, value: number) => {
    if (name === 'container.log.lines') lines += value
  }
  totals.record({ record, distribution() {}, failed() {} })
  return lines
}

const [, , what = '', path = ''] = process.argv
if (what === 'journal') read(path)
else follow(FORMATS[what as keyof typeof FORMATS], path)
process.on('SIGUSR2', () =>
  process.stdout.write(`${JSON.stringify({ lines: linesRead(), longestTurnMs: longestTurnMs() })}\n`),
)
process.stdout.write('ready\n')
setInterval(() => {}, 1 << 30)
