// Where `leadline logs` reads: files one after the other or standard input, to the end or for as long as it grows.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { UsageError } from './arguments.ts'

/** A pipe holds 64 KiB; a file gives more at once. */
const CHUNK_BYTES = 1 << 18
const POLL_MS = 250

type OnBytes = (bytes: Buffer, ofBytes: number) => void

/** All of them to the end. `ofBytes` is how much there is in all, 0 where nobody knows. */
export async function readFiles(files: readonly string[], onBytes: OnBytes): Promise<void> {
  if (files.length === 0) {
    await readInput(onBytes)
    return
  }
  const ofBytes = files.reduce((sum, file) => sum + sizeOf(file), 0)
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  for (const file of files) {
    const descriptor = open(file)
    try {
      for (let length = readSync(descriptor, chunk); length > 0; length = readSync(descriptor, chunk)) {
        onBytes(chunk.subarray(0, length), ofBytes)
      }
    } finally {
      closeSync(descriptor)
    }
  }
}

function open(file: string): number {
  try {
    const descriptor = openSync(file, 'r')
    if (fstatSync(descriptor).isDirectory()) throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' })
    return descriptor
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${reasonOf(error)}`)
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file · fix: check the path',
  EACCES: 'permission denied · fix: run it with sudo, or pipe the file into it',
  EISDIR: 'it is a directory · fix: name the files in it',
}
function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException
  return REASONS[code] ?? message
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size
  } catch {
    return 0
  }
}

/** Reads without going through the event loop as long as that works: it is twice as fast. */
async function readInput(onBytes: OnBytes): Promise<void> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  try {
    for (let length = readSync(0, chunk); length > 0; length = readSync(0, chunk)) onBytes(chunk.subarray(0, length), 0)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EOF') return
    if (code !== 'EAGAIN') throw error
    // Somebody made it non-blocking.
    for await (const bytes of process.stdin) onBytes(bytes as Buffer, 0)
  }
}

export type Following = {
  onBytes(bytes: Buffer): void
  onSilence(): void
  /** Called when there is something new to show. */
  show(): void
  readonly silenceMs: number
}

/** Until SIGINT or SIGTERM, or the end of standard input. Files are read on from their begin, anew when they shrink. */
export async function follow(files: readonly string[], following: Following): Promise<void> {
  const { promise: isOver, resolve: stop } = Promise.withResolvers<void>()
  process.once('SIGINT', () => stop())
  process.once('SIGTERM', () => stop())
  let readMs = performance.now()
  let isNew = false
  let isOpen = false
  const onBytes = (bytes: Buffer) => {
    following.onBytes(bytes)
    readMs = performance.now()
    isNew = isOpen = true
  }
  const tails = files.map((file) => tail(file, onBytes))
  if (files.length === 0) process.stdin.on('data', onBytes).once('end', () => stop())
  const tick = () => {
    for (const poll of tails) poll()
    if (isOpen && performance.now() - readMs >= following.silenceMs) {
      following.onSilence()
      isOpen = false
      isNew = true
    }
    if (isNew) following.show()
    isNew = false
  }
  tick()
  const timer = setInterval(tick, POLL_MS)
  await isOver
  clearInterval(timer)
}

/** Reads what was added. A file that was replaced is read to its end first, then the new one from its begin. */
function tail(file: string, onBytes: (bytes: Buffer) => void): () => void {
  let descriptor = open(file)
  let at = 0
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)

  function drain() {
    if (fstatSync(descriptor).size < at) at = 0
    for (;;) {
      const length = readSync(descriptor, chunk, 0, chunk.length, at)
      if (length === 0) return
      at += length
      onBytes(chunk.subarray(0, length))
    }
  }

  return () => {
    drain()
    const here = statSync(file, { throwIfNoEntry: false })
    if (here === undefined || here.ino === fstatSync(descriptor).ino) return
    drain()
    closeSync(descriptor)
    descriptor = open(file)
    at = 0
    drain()
  }
}
