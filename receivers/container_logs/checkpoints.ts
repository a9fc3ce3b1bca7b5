// Where we are in each log, on disk: one slot of 1 KiB for each, written over in place after every delivery, so that
// an agent which is killed goes on where it stopped. Each slot is a line of text with its own check sum; one that was
// torn by a power failure is not believed. No fsync: a kill loses nothing that was written, and a power failure costs
// a few lines twice.
import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { lockFile } from '../../native/index.ts'

export type SavedFile = {
  readonly dev: string
  readonly ino: string
  /** What has been handed on. */
  readonly offset: number
  /** Where the earliest line begins that had not ended; missing when there is none. */
  readonly replay?: number
  /** Base64 of what stands before the offset. */
  readonly tail: string
  /** How the content begins: `BYTES:CRC32`, both decimal; missing where an older version wrote it. */
  readonly head?: string
}

export type Saved = {
  /** Oldest first. */
  readonly files: readonly SavedFile[]
  /** When the oldest was last written, in milliseconds since the epoch. */
  readonly modifiedMs: number
  /** Place in a journal. */
  readonly cursor?: string
  /** For logs that end while no agent is there. */
  readonly writer?: Writer
}

/** The format of a writer whose log is the journal: there is no file then. */
export const JOURNALD = 'journald'
export const journalKey = (container: string): string => `${JOURNALD}/${container}`

export type Writer = {
  /** The log's file. */
  readonly path: string
  /** The format's name. */
  readonly format: string
  readonly cgroup: { readonly id: number; readonly path: string; readonly bornMs: number }
  /** Whether it was read to its end. */
  readonly ended: boolean
}

export type Checkpoints = {
  /** When the first agent began to keep them here, in milliseconds since the epoch: since then one is on duty. */
  readonly sinceMs: number
  /** What was saved for a log, by whichever name its source gives it. */
  read(key: string): Saved | undefined
  write(key: string, saved: Saved): void
  entries(): [key: string, saved: Saved][]
  /** The log is gone for good. */
  remove(key: string): void
  /** Slots that could not be believed when they were read. */
  readonly damaged: number
  /** How many logs there are for which there was no slot. */
  refused(): number
  close(): void
}

const SLOT_BYTES = 1024
const HEADER = 'leadline container_logs 1\n'
const SINCE = /^since (\d+)$/m
/** Of 1 KiB each. */
const MOST_SLOTS = 65_536
/** The check sum in hexadecimal, and a space. */
const SUM_BYTES = 9
/** For the text of a slot. */
const ROOM = SLOT_BYTES - SUM_BYTES - '\n'.length
const SPACE = 32

/** A slot on its way out: one write each, and nothing allocated. */
const line = Buffer.alloc(SLOT_BYTES, '\n')

type Entry = { readonly slot: number; saved: Saved; prefix: string | undefined }

/**
 * Throws when the file cannot be used: no such directory and none can be made, or another agent keeps its own there.
 * A file that is not ours is not written over. What cannot be written later, `failed` hears.
 */
export async function openCheckpoints(path: string, failed: (error: Error) => void): Promise<Checkpoints> {
  const file = openOrMake(path)
  let unlock = () => {}
  const close = () => {
    closeSync(file)
    unlock()
  }
  try {
    unlock = await onlyOne(file, path)
    return { ...placesIn(file, path, failed), close }
  } catch (error) {
    close()
    throw error
  }
}

function openOrMake(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  } catch (cause) {
    const why = (cause as Error).message
    throw new Error(`${why} · fix: run as root, or set storage to a directory that can be written`, { cause })
  }
}

function placesIn(fd: number, path: string, failed: (error: Error) => void): Omit<Checkpoints, 'close'> {
  const known = new Map<string, Entry>()
  const free: number[] = []
  const refused = new Set<string>()
  let damaged = 0
  const { size } = fstatSync(fd)
  const header = Buffer.alloc(SLOT_BYTES)
  readSync(fd, header, 0, SLOT_BYTES, 0)
  const begun = header.toString('latin1')
  if (size > 0 && !begun.startsWith(HEADER)) {
    throw new Error(
      `${path} is no file of ours, or of another version · fix: move it away, or set storage to another directory`,
    )
  }
  // A clock that was set back makes no log older than now.
  const sinceMs = Math.min(Date.now(), Number(SINCE.exec(begun)?.[1] ?? Number.POSITIVE_INFINITY))
  if (!SINCE.test(begun)) writeSync(fd, `${`${HEADER}since ${sinceMs}\n`.padEnd(SLOT_BYTES - 1)}\n`, 0)
  let slots = Math.min(MOST_SLOTS, Math.max(1, Math.ceil(size / SLOT_BYTES)))
  const slotBytes = Buffer.alloc(SLOT_BYTES)
  for (let slot = 1; slot < slots; slot++) {
    const got = readSync(fd, slotBytes, 0, SLOT_BYTES, slot * SLOT_BYTES)
    const entry = decodeSlot(slotBytes.subarray(0, got))
    if (entry === 'free' || entry === undefined || known.has(entry.key)) {
      free.push(slot)
      if (entry === undefined) damaged++
    } else known.set(entry.key, { slot, saved: entry.saved, prefix: undefined })
  }

  /** Logs are read also where the disk is full. */
  function put(slot: number): void {
    try {
      writeSync(fd, line, 0, SLOT_BYTES, slot * SLOT_BYTES)
    } catch (cause) {
      const why = (cause as Error).message
      failed(new Error(`cannot note offsets in ${path}: ${why} · fix: make room there, or set storage`, { cause }))
    }
  }

  return {
    sinceMs,
    read: (key) => known.get(key)?.saved,
    write(key, saved) {
      let entry = known.get(key)
      if (entry === undefined) {
        const slot = free.pop() ?? (slots < MOST_SLOTS ? slots++ : undefined)
        if (slot === undefined) return void refused.add(key)
        entry = { slot, saved, prefix: undefined }
        known.set(key, entry)
      }
      if (entry.saved.writer !== saved.writer) entry.prefix = undefined
      entry.saved = saved
      entry.prefix ??= prefixOf(key, saved)
      if (encodeSlot(entry.prefix, saved)) put(entry.slot)
    },
    entries: () => Array.from(known, ([key, { saved }]) => [key, saved]),
    remove(key) {
      const entry = known.get(key)
      refused.delete(key)
      if (entry === undefined) return
      known.delete(key)
      free.push(entry.slot)
      line.fill(SPACE, 0, SLOT_BYTES - 1)
      put(entry.slot)
    },
    damaged,
    refused: () => refused.size,
  }
}

/** What a slot begins with stays the same for as long as its log has the same writer. */
function prefixOf(key: string, { writer }: Saved): string {
  return `${JSON.stringify({ key, ...(writer && { writer }) }).slice(0, -1)},"files":`
}

/** Fills `line`. False for what does not fit: then the slot keeps what it has. */
function encodeSlot(prefix: string, saved: Saved): boolean {
  const { files, modifiedMs, cursor } = saved
  const suffix = cursor === undefined ? '}' : `,"cursor":${JSON.stringify(cursor)}}`
  const text = `${prefix}${JSON.stringify(files)},"modifiedMs":${modifiedMs}${suffix}`
  // No character is longer than three bytes for each of its units.
  if (text.length * 3 > ROOM && Buffer.byteLength(text) > ROOM) {
    const [first] = files
    return first !== undefined && files.length > 1 && encodeSlot(prefix, { ...saved, files: [first] })
  }
  const end = SUM_BYTES + line.write(text, SUM_BYTES)
  line.write(
    crc32(line.subarray(SUM_BYTES, end))
      .toString(16)
      .padStart(SUM_BYTES - 1, '0'),
    'latin1',
  )
  line[SUM_BYTES - 1] = SPACE
  line.fill(SPACE, end, SLOT_BYTES - 1)
  return true
}

/** Undefined for what is not whole. */
export function decodeSlot(bytes: Buffer): { readonly key: string; readonly saved: Saved } | 'free' | undefined {
  const line = bytes.toString('utf8').trimEnd()
  if (line === '') return bytes.length === SLOT_BYTES ? 'free' : undefined
  const text = line.slice(SUM_BYTES)
  if (Number.parseInt(line.slice(0, SUM_BYTES - 1), 16) !== crc32(text)) return undefined
  try {
    const { key, ...saved } = JSON.parse(text) as { key: string } & Saved
    const { files, cursor = '', writer } = saved
    if (typeof key !== 'string' || typeof cursor !== 'string') return undefined
    if (!Array.isArray(files) || !files.every(isSavedFile)) return undefined
    if (writer !== undefined && !isWriter(writer)) return undefined
    return { key, saved }
  } catch {
    return undefined
  }
}

function isSavedFile(file: SavedFile): boolean {
  const { dev, ino, offset, tail, replay = 0, head = '0:0' } = file
  const isNumber = Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(replay) && replay >= 0
  return isNumber && /^\d+$/.test(dev) && /^\d+$/.test(ino) && typeof tail === 'string' && isHead(head)
}

/** At most the 64 bytes of log_file.ts. */
const isHead = (head: unknown): boolean =>
  typeof head === 'string' && /^(?:[0-9]|[1-5][0-9]|6[0-4]):\d{1,10}$/.test(head)

const isWriter = ({ path, format, cgroup }: Writer): boolean =>
  typeof path === 'string' &&
  typeof format === 'string' &&
  Number.isSafeInteger(cgroup.id) &&
  typeof cgroup.path === 'string'

/** Returns what ends it. Throws where another agent has the file, also one in another container. */
async function onlyOne(fd: number, path: string): Promise<() => void> {
  let isOurs: boolean
  try {
    isOurs = lockFile(fd)
  } catch {
    return onlyOneHere(path) // no addon, or no locks in that file system
  }
  if (!isOurs) throw anotherAgent(path)
  return () => {}
}

/** An abstract socket of that name: the kernel frees it with the process, however that ends (unix(7)). */
function onlyOneHere(path: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', () => reject(anotherAgent(path)))
    const name = createHash('sha256').update(path).digest('hex')
    server.listen(`\0leadline-${name}`, () => {
      server.unref()
      resolve(() => void server.close())
    })
  })
}

const anotherAgent = (path: string): Error =>
  new Error(`another agent keeps ${path} · fix: stop it, or set storage to another directory`)
