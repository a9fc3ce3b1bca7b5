// Where `leadline logs` reads: files one after the other or standard input, to the end or for as long as it grows.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import type { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { UsageError } from './arguments.ts'

/** A pipe holds 64 KiB; a file gives more at once. */
const CHUNK_BYTES = 1 << 18
const POLL_MS = 250

type OnBytes = (bytes: Buffer, ofBytes: number) => void

export type Reading = {
  /** `ofBytes` is how much there is in all, 0 where nobody knows. */
  readonly onBytes: OnBytes
  onEndOfFile(): void
  /** A file cannot be read; the others are. */
  onFailure(reason: string): void
}

/** All of them to the end. Resolves with how many could not be read. Throws a UsageError if none could. */
export async function readFiles(files: readonly string[], { onBytes, onEndOfFile, onFailure }: Reading) {
  if (files.length === 0) {
    await readInput(onBytes)
    return 0
  }
  const ofBytes = files.reduce((sum, file) => sum + sizeOf(file), 0)
  const failures: string[] = []
  for (const file of files) {
    try {
      await readFile(file, (bytes) => onBytes(bytes, ofBytes))
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      failures.push(error.message)
    }
    onEndOfFile()
  }
  if (failures.length === files.length) throw new UsageError(failures.join('\nError: '))
  for (const failure of failures) onFailure(failure)
  return failures.length
}

async function readFile(file: string, onBytes: (bytes: Buffer) => void): Promise<void> {
  const descriptor = open(file)
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  try {
    let length = readSync(descriptor, chunk)
    const unpack = unpackerOf(chunk.subarray(0, length))
    if (unpack !== undefined) {
      await readPacked(file, piecesOf(descriptor, chunk.subarray(0, length)), unpack, onBytes)
      return
    }
    if (isBinary(chunk.subarray(0, length))) {
      throw new UsageError(
        `cannot read ${file}: it is not text · fix: pipe it into leadline logs to read it all the same`,
      )
    }
    for (; length > 0; length = readSync(descriptor, chunk)) onBytes(chunk.subarray(0, length))
  } finally {
    closeSync(descriptor)
  }
}

/** Rotated logs are packed. RFC 1952 §2.3.1; RFC 8878 §3.1.1. */
function unpackerOf(begin: Buffer): (() => Transform) | undefined {
  if (begin.length < 4) return undefined
  if (begin.readUInt16BE(0) === 0x1f8b) return createGunzip
  return begin.readUInt32LE(0) === 0xfd2fb528 ? createZstdDecompress : undefined
}

/** What has been read, and then the rest: a pipe gives nothing twice. */
function* piecesOf(descriptor: number, begin: Buffer): Generator<Buffer> {
  for (let piece = begin; piece.length > 0; ) {
    yield piece
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    piece = chunk.subarray(0, readSync(descriptor, chunk))
  }
}

async function readPacked(
  file: string,
  packed: Iterable<Buffer>,
  unpack: () => Transform,
  onBytes: (bytes: Buffer) => void,
) {
  try {
    await pipeline(packed, unpack(), async (pieces: AsyncIterable<Buffer>) => {
      for await (const bytes of pieces) onBytes(bytes)
    })
  } catch (error) {
    if (!/^(Z_|ZSTD_)/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    throw new UsageError(`cannot read all of ${file}: ${(error as Error).message} · fix: pack it anew`)
  }
}

/** Programs, databases, journals: a zero byte and other control bytes. Only zeros may be what copytruncate leaves. */
function isBinary(begin: Buffer): boolean {
  const some = begin.subarray(0, 4096)
  return some.includes(0) && some.some((byte) => (byte > 0 && byte < 9) || (byte > 13 && byte < 27))
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
