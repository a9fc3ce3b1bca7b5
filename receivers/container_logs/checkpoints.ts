// Where we are in each log, on disk: one slot of 1 KiB for each, written over in place after every delivery, so that
// an agent which is killed goes on where it stopped. Each slot is a line of text with its own check sum; one that was
// torn by a power failure is not believed. No fsync: a kill loses nothing that was written, and a power failure costs
// a few lines twice.
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

export type SavedFile = {
  readonly dev: string
  readonly ino: string
  /** What has been handed on. */
  readonly offset: number
  /** Where the earliest line begins that had not ended; missing when there is none. */
  readonly replay?: number
  /** Base64 of what stands before the offset. */
  readonly tail: string
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
  /** What was saved for a log, by whichever name its source gives it. */
  read(key: string): Saved | undefined
  write(key: string, saved: Saved): void
  entries(): [key: string, saved: Saved][]
  /** The log is gone for good. */
  remove(key: string): void
  /** Slots that could not be believed when they were read. */
  readonly damaged: number
  close(): void
}

const SLOT_BYTES = 1024
const HEADER = 'leadline container_logs 1\n'
/** Of 1 KiB each. */
const MOST_SLOTS = 65_536

/**
 * Throws when the file cannot be used: no such directory and none can be made, or another agent keeps its own there.
 * A file that is not ours is not written over.
 */
export async function openCheckpoints(path: string): Promise<Checkpoints> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const lock = await onlyOne(path)
  const fd = openSync(path, 'a+', 0o600)
  closeSync(fd)
  const file = openSync(path, 'r+')
  try {
    return read(file, path, lock)
  } catch (error) {
    closeSync(file)
    lock.close()
    throw error
  }
}

function read(fd: number, path: string, lock: Server): Checkpoints {
  const known = new Map<string, { slot: number; saved: Saved }>()
  const free: number[] = []
  let damaged = 0
  const { size } = fstatSync(fd)
  const header = Buffer.alloc(HEADER.length)
  if (size > 0 && (readSync(fd, header, 0, HEADER.length, 0) < HEADER.length || header.toString() !== HEADER)) {
    throw new Error(
      `${path} is no file of ours, or of another version · fix: move it away, or set storage to another directory`,
    )
  }
  if (size === 0) writeSync(fd, `${HEADER.padEnd(SLOT_BYTES - 1)}\n`, 0)
  let slots = Math.min(MOST_SLOTS, Math.max(1, Math.ceil(size / SLOT_BYTES)))
  const slotBytes = Buffer.alloc(SLOT_BYTES)
  for (let slot = 1; slot < slots; slot++) {
    const got = readSync(fd, slotBytes, 0, SLOT_BYTES, slot * SLOT_BYTES)
    const entry = decodeSlot(slotBytes.subarray(0, got))
    if (entry === 'free' || entry === undefined || known.has(entry.key)) {
      free.push(slot)
      if (entry === undefined) damaged++
    } else known.set(entry.key, { slot, saved: entry.saved })
  }

  const put = (slot: number, text: string) => writeSync(fd, text, slot * SLOT_BYTES)

  return {
    read: (key) => known.get(key)?.saved,
    write(key, saved) {
      let entry = known.get(key)
      if (entry === undefined) {
        const slot = free.pop() ?? (slots < MOST_SLOTS ? slots++ : undefined)
        if (slot === undefined) return // counted by whoever watches how many logs there are
        entry = { slot, saved }
        known.set(key, entry)
      }
      entry.saved = saved
      const text = encodeSlot(key, saved)
      if (text !== undefined) put(entry.slot, text)
    },
    entries: () => Array.from(known, ([key, { saved }]) => [key, saved]),
    remove(key) {
      const entry = known.get(key)
      if (entry === undefined) return
      known.delete(key)
      free.push(entry.slot)
      put(entry.slot, `${' '.repeat(SLOT_BYTES - 1)}\n`)
    },
    get damaged() {
      return damaged
    },
    close() {
      closeSync(fd)
      lock.close()
    },
  }
}

/** Undefined for what does not fit: then the slot keeps what it has. */
function encodeSlot(key: string, saved: Saved): string | undefined {
  const text = JSON.stringify({ key, ...saved })
  const line = `${crc32(text).toString(16).padStart(8, '0')} ${text}`
  if (Buffer.byteLength(line) > SLOT_BYTES - 1) {
    const [first] = saved.files
    return first !== undefined && saved.files.length > 1 ? encodeSlot(key, { ...saved, files: [first] }) : undefined
  }
  return `${line}${' '.repeat(SLOT_BYTES - 1 - Buffer.byteLength(line))}\n`
}

/** Undefined for what is not whole. */
export function decodeSlot(bytes: Buffer): { readonly key: string; readonly saved: Saved } | 'free' | undefined {
  const line = bytes.toString('utf8').trimEnd()
  if (line === '') return bytes.length === SLOT_BYTES ? 'free' : undefined
  const text = line.slice(9)
  if (Number.parseInt(line.slice(0, 8), 16) !== crc32(text)) return undefined
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
  const { dev, ino, offset, tail, replay = 0 } = file
  const isNumber = Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(replay) && replay >= 0
  return isNumber && /^\d+$/.test(dev) && /^\d+$/.test(ino) && typeof tail === 'string'
}

const isWriter = ({ path, format, cgroup }: Writer): boolean =>
  typeof path === 'string' &&
  typeof format === 'string' &&
  Number.isSafeInteger(cgroup.id) &&
  typeof cgroup.path === 'string'

/** An abstract socket of that name: the kernel frees it with the process, however that ends (unix(7)). */
function onlyOne(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', () =>
      reject(new Error(`another agent keeps ${path} · fix: stop it, or set storage to another directory`)),
    )
    const name = createHash('sha256').update(path).digest('hex')
    server.listen(`\0leadline-${name}`, () => resolve(server.unref()))
  })
}
