// The files of one log in the order in which they were written, from a place on where we have been before.
// Renamed, copied and compressed files are found again by their inode, or by what stands before that place.
import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, openSync, rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { isBeingCopied } from './copies.ts'
import {
  closeLogFile,
  type FileId,
  isSameFile,
  type LogFile,
  logFileOf,
  openLogFile,
  readOn,
  seek,
} from './log_file.ts'
import { currentFile, rotatedFiles, type Sibling } from './siblings.ts'

/** A place in a log. */
export type Place = {
  /** Undefined where the content is not any more in the file that it was read from. */
  readonly id: FileId | undefined
  readonly offset: number
  /** What stands before the offset. */
  readonly tail: Buffer
  /** When the file was last written, as far as we saw. */
  readonly modifiedMs: number
}

export type Chain = {
  /** Oldest first. When `found` the first is at the place, all others at their beginnings. */
  readonly files: LogFile[]
  readonly found: boolean
}

export type ChainOptions = {
  /** Where compressed files are unpacked to; each is removed at once and lives as long as it is open. */
  readonly scratchDirectory: string
  readonly mostUnpackedBytes: number
  /** An old file that was compressed cannot be unpacked: what was not read of it is lost. */
  readonly failed: (error: Error) => void
}

/** A rotation takes moments, but it is several renames. */
const LISTINGS = 5
const TRIES = 20

/** `held` is the file of the place where we have it open: it is not opened again, nor among the result. */
export function filesFrom(path: string, place: Place, options: ChainOptions, held?: LogFile): Promise<Chain> {
  return undisturbed(path, (all, opened) => find(all, place, options, opened, held))
}

/** All files of the log that were written since then, at their beginnings. */
export async function filesSince(path: string, sinceMs: number, options: ChainOptions): Promise<LogFile[]> {
  const { files } = await undisturbed(path, async (all, opened) => {
    const wanted = all.filter(({ modifiedMs }) => modifiedMs >= sinceMs)
    return { files: await openAll(wanted, options, opened), found: true }
  })
  return files
}

/** Begins anew when files were renamed, truncated or removed between the listing and their opening. */
async function undisturbed(
  path: string,
  attempt: (all: readonly Sibling[], opened: Set<LogFile>) => Promise<Chain>,
): Promise<Chain> {
  for (let tries = 1; ; tries++) {
    const opened = new Set<LogFile>()
    try {
      const all = stableListing(path)
      const chain = await attempt(all, opened)
      if (!isSameListing(stableListing(path), all) && tries < TRIES) throw new Disturbed(path)
      for (const file of opened) if (!chain.files.includes(file)) closeLogFile(file)
      return chain
    } catch (error) {
      for (const file of opened) closeLogFile(file)
      if (!(error instanceof Disturbed) || tries >= TRIES) throw error
    }
  }
}

class Disturbed extends Error {}

async function find(
  all: readonly Sibling[],
  place: Place,
  options: ChainOptions,
  opened: Set<LogFile>,
  held: LogFile | undefined,
): Promise<Chain> {
  const known = held ?? place.id
  const same = known === undefined ? -1 : all.findIndex((one) => isSameFile(one, known))
  const after = (index: number) => openAll(all.slice(index + 1), options, opened)
  const one = all[same]
  if (one !== undefined) {
    if (held !== undefined) return { files: await after(same), found: true }
    const first = await openOne(one, options, opened)
    if (first && seekTo(first, place)) return { files: [first, ...(await after(same))], found: true }
  }
  for (let i = all.length - 1; i >= 0 && place.offset > 0; i--) {
    const other = all[i]
    // Neither a copy nor its compressed form is older than the last line that we have of it.
    if (other === undefined || i === same || Math.ceil(other.modifiedMs) < Math.floor(place.modifiedMs)) continue
    const file = await openOne(other, options, opened)
    if (file === undefined || !seekTo(file, place)) continue
    const rest = await after(i)
    return { files: held === undefined ? [file, ...rest] : rest, found: true }
  }
  // Rotations throw the oldest away first, so what is left and is not older came after it.
  const newer = all.filter((one) => one.modifiedMs >= place.modifiedMs)
  return { files: await openAll(newer, options, opened), found: false }
}

/** All files of the log, oldest first, as two listings in a row have them. */
export function stableListing(path: string): Sibling[] {
  let before = listing(path)
  for (let i = 0; i < LISTINGS; i++) {
    const now = listing(path)
    if (isSameListing(now, before)) return now
    before = now
  }
  return before
}

const isSameListing = (one: readonly Sibling[], other: readonly Sibling[]): boolean =>
  one.length === other.length && one.every((file, at) => isSameFile(file, other[at] ?? file))

function listing(path: string): Sibling[] {
  const current = currentFile(path)
  const rotated = rotatedFiles(path)
  if (current === undefined) return rotated
  const youngest = rotated.at(-1)
  if (youngest !== undefined && isBeingCopied(youngest, current)) rotated.pop()
  return [...rotated, current]
}

async function openAll(siblings: readonly Sibling[], options: ChainOptions, opened: Set<LogFile>): Promise<LogFile[]> {
  const files: LogFile[] = []
  for (const sibling of siblings) {
    const file = await openOne(sibling, options, opened)
    if (file) files.push(file)
  }
  return files
}

/** Undefined for what cannot be unpacked. */
async function openOne(sibling: Sibling, options: ChainOptions, opened: Set<LogFile>): Promise<LogFile | undefined> {
  let file: LogFile | undefined
  try {
    file = openLogFile(sibling.path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new Disturbed(sibling.path, { cause })
    throw cause
  }
  if (file === undefined || !isSameFile(file, sibling)) {
    if (file) closeLogFile(file)
    throw new Disturbed(sibling.path)
  }
  const plain = sibling.compressed ? await unpack(file, options) : file
  if (plain) opened.add(plain)
  return plain
}

const probe = Buffer.alloc(256)

function seekTo(file: LogFile, { offset, tail }: Place): boolean {
  if (file.size < offset || !seek(file, offset)) return false
  file.tail = tail
  return readOn(file, probe, 1) !== undefined
}

/** Takes the compressed file over. Undefined for a damaged one. */
async function unpack({ fd, path, modifiedMs }: LogFile, options: ChainOptions): Promise<LogFile | undefined> {
  const unpacked = join(options.scratchDirectory, `unpacked-${randomBytes(6).toString('hex')}`)
  const into = createWriteStream(unpacked, { flags: 'wx', mode: 0o600 })
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
  try {
    await pipeline(createReadStream('', { fd }), inflate, limit, into)
    utimesSync(unpacked, modifiedMs / 1000, modifiedMs / 1000)
    return logFileOf(openSync(unpacked, 'r'), path)
  } catch (cause) {
    const why = (cause as Error).message
    options.failed(
      new Error(`cannot unpack ${path}: ${why} · fix: let rotation compress later (delaycompress), or larger files`, {
        cause,
      }),
    )
    return undefined
  } finally {
    rmSync(unpacked, { force: true })
  }
}
