// The journal by a child, `journalctl --output=json --follow`, where libsystemd cannot be loaded. A child that ends is
// started again after its last entry; while nobody reads, it waits.
import { spawn } from 'node:child_process'
import { type Entry, FIELDS, type JournalReader, type JournalStart, priorityOf } from './journal_entries.ts'
import { NEWLINE } from './lines.ts'

/** Then the child waits. */
const MOST_WAITING_BYTES = 1 << 20
/** An entry may be long: journald's own limit of a message is 768 MiB, ours is far below. */
const LONGEST_BYTES = 64 << 20
const AGAIN_MS = 5000

/** `failed` hears what the child complained about when it ended. */
export function startJournalctl(start: JournalStart, failed: (error: Error) => void): JournalReader {
  let cursor = start.start
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let closed = false
  let again: NodeJS.Timeout | undefined
  let child = run()

  function run() {
    const started = spawn('journalctl', argumentsOf({ ...start, start: cursor }), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    })
    let complaint = ''
    started.stdout.on('data', (bytes: Buffer) => {
      waiting.push(bytes)
      waitingBytes += bytes.length
      if (waitingBytes > MOST_WAITING_BYTES && bytes.includes(NEWLINE)) started.stdout.pause()
    })
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-500)
    })
    started.once('error', ({ message }) => ended(message))
    started.once('close', (code) => ended(complaint.trim() || `it ended with ${code}`))
    return started
  }

  function ended(why: string): void {
    if (closed || again !== undefined) return
    failed(new Error(`journalctl: ${why} · fix: apt-get install libsystemd0, or set journald::enabled to false`))
    again = setTimeout(() => {
      again = undefined
      // Half an entry comes again as a whole one.
      waiting = []
      waitingBytes = 0
      child = run()
    }, AGAIN_MS).unref()
  }

  return {
    read(most) {
      const bytes = waiting.length === 1 && waiting[0] !== undefined ? waiting[0] : Buffer.concat(waiting)
      const entries: Entry[] = []
      let at = 0
      while (entries.length < most) {
        const end = bytes.indexOf(NEWLINE, at)
        if (end === -1) break
        const entry = parseEntry(bytes.toString('utf8', at, end))
        if (entry !== undefined) entries.push(entry.entry)
        cursor = entry?.cursor ?? cursor
        at = end + 1
      }
      const rest = bytes.subarray(at)
      const isTooLong = entries.length === 0 && rest.length > LONGEST_BYTES
      if (isTooLong)
        failed(
          new Error(
            `journalctl: an entry of more than ${LONGEST_BYTES} bytes is left out · fix: apt-get install libsystemd0, which reads it`,
          ),
        )
      waiting = rest.length > 0 && !isTooLong ? [rest] : []
      waitingBytes = isTooLong ? 0 : rest.length
      if (waitingBytes < MOST_WAITING_BYTES || rest.indexOf(NEWLINE) === -1) child.stdout.resume()
      return { entries, count: entries.length, cursor }
    },
    close() {
      closed = true
      clearTimeout(again)
      child.kill('SIGTERM')
    },
  }
}

/** journalctl(1). Without --all long and binary values are left out; without --no-tail --follow begins near the end. */
function argumentsOf({ directory, root, start }: JournalStart): string[] {
  const from =
    start === 'tail' ? ['--lines=0'] : start === 'head' ? ['--no-tail'] : ['--no-tail', `--after-cursor=${start}`]
  const where = directory ? [`--directory=${directory}`] : root ? [`--root=${root}`] : []
  const fields = `--output-fields=${FIELDS.join(',')}`
  return ['--output=json', '--all', '--follow', '--quiet', '--no-pager', fields, ...where, ...from]
}

type Value = string | null | readonly number[] | readonly Value[]

/** Undefined for what is no entry. Values that are no UTF-8 come as arrays of bytes, repeated fields as arrays of values. */
export function parseEntry(line: string): { readonly entry: Entry; readonly cursor: string } | undefined {
  let told: Record<string, Value>
  try {
    told = JSON.parse(line) as Record<string, Value>
  } catch {
    return undefined
  }
  const cursor = told.__CURSOR
  if (typeof cursor !== 'string') return undefined
  const bytes = (name: string) => bytesOf(told[name])
  const text = (name: string) => bytes(name).toString('utf8')
  const entry: Entry = {
    message: bytes('MESSAGE'),
    priority: priorityOf(text('PRIORITY')),
    transport: text('_TRANSPORT'),
    cgroup: text('_SYSTEMD_CGROUP'),
    unit: text('_SYSTEMD_UNIT'),
    container: text('CONTAINER_ID_FULL'),
    partial: text('CONTAINER_PARTIAL_MESSAGE') === 'true',
    writtenMs: Number(told.__REALTIME_TIMESTAMP) / 1000,
  }
  return { entry, cursor }
}

function bytesOf(value: Value | undefined): Buffer {
  if (typeof value === 'string') return Buffer.from(value)
  if (!Array.isArray(value) || value.length === 0) return Buffer.alloc(0)
  return typeof value[0] === 'number' ? Buffer.from(value as number[]) : bytesOf(value[0] as Value)
}
