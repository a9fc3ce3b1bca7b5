// Rotated logs that were compressed, unpacked into files without a name: those end with whoever has them open, so an
// agent that is killed leaves nothing behind.
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  createWriteStream,
  futimesSync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { type LogFile, logFileOf } from './log_file.ts'

export type UnpackOptions = {
  /** Where compressed files are unpacked to. */
  readonly scratchDirectory: string
  readonly mostUnpackedBytes: number
  /** An old file that was compressed cannot be unpacked: what was not read of it is lost. */
  readonly failed: (error: Error) => void
}

const NAME = /^unpacked-[0-9a-f]{12}$/
/** One that is being written to changes all the time. */
const ABANDONED_AFTER_MS = 60_000

/** Takes the compressed file over. Undefined for a damaged one. */
export async function unpack({ fd, path, modifiedMs }: LogFile, options: UnpackOptions): Promise<LogFile | undefined> {
  const packed = createReadStream('', { fd })
  let bytes = 0
  const limit = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      done(
        bytes > options.mostUnpackedBytes ? new Error(`larger than ${options.mostUnpackedBytes} bytes`) : null,
        chunk,
      )
    },
  })
  const inflate = path.endsWith('.zst') ? createZstdDecompress() : createGunzip()
  let plain: number | undefined
  try {
    const scratch = openNameless(options.scratchDirectory)
    plain = scratch.reading
    await pipeline(packed, inflate, limit, createWriteStream('', { fd: scratch.writing }))
    futimesSync(plain, modifiedMs / 1000, modifiedMs / 1000)
    return logFileOf(plain, path)
  } catch (cause) {
    packed.destroy()
    if (plain !== undefined) closeSync(plain)
    const why = (cause as Error).message
    options.failed(
      new Error(`cannot unpack ${path}: ${why} · fix: let rotation compress later (delaycompress), or larger files`, {
        cause,
      }),
    )
    return undefined
  }
}

/** Two descriptors of one new file. */
function openNameless(directory: string): { readonly writing: number; readonly reading: number } {
  const name = join(directory, `unpacked-${randomBytes(6).toString('hex')}`)
  const writing = openSync(name, 'wx', 0o600)
  try {
    return { writing, reading: openSync(name, 'r') }
  } catch (error) {
    closeSync(writing)
    throw error
  } finally {
    rmSync(name, { force: true })
  }
}

/**
 * Removes what an agent left there that was killed before its file had lost its name, which in older versions it kept
 * until all was unpacked. Another agent may have this directory, too: one that is being written to stays. Says how many
 * were removed, and how many bytes they had.
 */
export function removeAbandoned(directory: string, nowMs = Date.now()): { files: number; bytes: number } {
  const removed = { files: 0, bytes: 0 }
  for (const name of readdirSync(directory)) {
    if (!NAME.test(name)) continue
    const path = join(directory, name)
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat?.isFile() || nowMs - stat.ctimeMs < ABANDONED_AFTER_MS) continue
    rmSync(path, { force: true })
    removed.files++
    removed.bytes += stat.size
  }
  return removed
}
