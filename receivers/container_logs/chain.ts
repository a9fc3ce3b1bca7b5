// The files of one log in the order in which they were written, from a place on where we have been before.
// Renamed, copied and compressed files are found again by their inode, or by what stands before that place.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { isBeingCopied } from './copies.ts'
import {
  beginsWith,
  closeLogFile,
  type FileId,
  type Head,
  isSameFile,
  type LogFile,
  openLogFile,
  readOn,
  seek,
} from './log_file.ts'
import { currentFile, rotatedFiles, type Sibling } from './siblings.ts'
import { type UnpackOptions, unpack } from './unpacked.ts'

/** A place in a log. */
export type Place = {
  /** Undefined where the content is not any more in the file that it was read from. */
  readonly id: FileId | undefined
  readonly offset: number
  /** What stands before the offset. */
  readonly tail: Buffer
  /** Undefined where nobody has written it down. */
  readonly head: Head | undefined
  /** When the file was last written, as far as we saw. */
  readonly modifiedMs: number
}

export type Chain = {
  /** Oldest first. When `found` the first is at the place, all others at their beginnings. */
  readonly files: LogFile[]
  readonly found: boolean
}

export type ChainOptions = UnpackOptions

/** Where we are in it. */
export const placeOf = ({ dev, ino, offset, tail, head, readModifiedMs }: LogFile): Place => ({
  id: { dev, ino },
  offset,
  tail,
  head,
  modifiedMs: readModifiedMs,
})

/** By its end a file is found again also where nothing of it was taken. */
export function placeAtEnd(file: LogFile): Place {
  const { size, modifiedMs } = file
  const probe = { ...file }
  const tail = seek(probe, size) ? probe.tail : Buffer.alloc(0)
  return { ...placeOf(file), offset: size, tail, modifiedMs }
}

/** Where the first one was read to its end. */
export function withoutFirst({ files, found }: Chain): Chain {
  const [first] = files
  if (!found || first === undefined) return { files, found }
  closeLogFile(first)
  return { files: files.slice(1), found }
}

/** A rotation takes moments, but it is several renames. */
const LISTINGS = 5
const TRIES = 20
/** Files that take about a millisecond to look at: after that many others have their turn. */
const MANY = 50

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
      const all = await stableListing(path)
      const chain = await attempt(all, opened)
      if (!isSameListing(await stableListing(path), all) && tries < TRIES) throw new Disturbed(path)
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
  for (let i = all.length - 1; i >= 0 && (place.offset > 0 || (place.head?.bytes ?? 0) > 0); i--) {
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
export async function stableListing(path: string): Promise<Sibling[]> {
  let before = listing(path)
  for (let i = 0; i < LISTINGS; i++) {
    if (before.length > MANY) await nextTurn()
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
  for (const [index, sibling] of siblings.entries()) {
    if (index % MANY === MANY - 1) await nextTurn()
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

/** False where its content is another one. */
export function seekTo(file: LogFile, { offset, tail, head }: Pick<Place, 'offset' | 'tail' | 'head'>): boolean {
  if (file.size < offset || !seek(file, offset)) return false
  if (head !== undefined && !beginsWith(file, head)) return false
  file.tail = tail
  return readOn(file, probe, 1) !== undefined
}
