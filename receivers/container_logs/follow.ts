// Follows one log from file to file: what was renamed is read to its end first, what was copied and truncated goes on
// in the copy, and the place of what has been handed on is saved with every delivery.
import { type ChainOptions, filesFrom } from './chain.ts'
import type { Saved, SavedFile } from './checkpoints.ts'
import type { Format } from './formats/format.ts'
import { clear, createDecoded, type Decoded } from './lines.ts'
import {
  advance,
  closeLogFile,
  hasNews,
  isSameFile,
  type LogFile,
  look,
  note,
  readOn,
  rewind,
  seek,
  TAIL_BYTES,
} from './log_file.ts'
import { currentFile } from './siblings.ts'
import { beginAt, resume, type Start, savedFile } from './start.ts'

export type FollowOptions = {
  readonly path: string
  readonly format: Format
  readonly chain: ChainOptions
  readonly limits: Limits
  readonly start: Start
  /** What an agent before us has left. */
  readonly saved: Saved | undefined
  /** Hands on lines; they have been read when it returns. */
  readonly deliver: (decoded: Decoded) => void
  readonly save: (saved: Saved) => void
  /** Something could not be read: said once, then counted. */
  readonly failed: (error: Error) => void
}

export type Limits = {
  readonly maxLineBytes: number
  /** Unread bytes beyond which the oldest are left out. */
  readonly maxLagBytes: number
  /** How long a line may stay without its end before it is taken as it is. */
  readonly flushMs: number
}

export type Follower = {
  /** Looks at the files. Answers whether there is something to read. */
  poll(nowMs: number): boolean
  /** Reads one share and hands it on. Answers whether there is more. */
  readShare(): boolean
  /** Whether nothing more is written: then it ends when all has been read. */
  finish(ending: boolean): void
  readonly finished: boolean
  /** It looks for files, and knows in a moment more. */
  readonly settling: boolean
  /** Whether a file was found. */
  readonly begun: boolean
  readonly lagBytes: number
  readonly counts: Counts
  close(): void
}

export type Counts = {
  rotations: number
  truncations: number
  /** Times that we could not find the place where we had been. */
  gaps: number
  skippedBytes: number
  cutBytes: number
  damagedRecords: number
}

/** One turn of one log: what takes about a fifth of a millisecond. */
export const SHARE_BYTES = 128 << 10
/** Programs go on to write into a file that was renamed, until they are told. */
const GRACE_MS = 3000
/** The current file, and those before it that may still be written. */
const MOST_SAVED = 2

const share = Buffer.allocUnsafeSlow(TAIL_BYTES + SHARE_BYTES)
let large = share
const decoded = createDecoded()

export function follow({ path, format, chain, limits, start, saved, deliver, save, failed }: FollowOptions): Follower {
  const counts: Counts = {
    rotations: 0,
    truncations: 0,
    gaps: 0,
    skippedBytes: 0,
    cutBytes: 0,
    damagedRecords: 0,
  }
  /** Oldest first; the last is the current one. */
  let files: LogFile[] = []
  let lastRead: LogFile | undefined
  /** Where a line began that has not ended, in a file before the one that is read. */
  let carried: SavedFile | undefined
  let settling = false
  let finishingMs: number | undefined
  let finished = false
  let heldSinceMs = Number.POSITIVE_INFINITY

  /** What takes its time: meanwhile the log is left alone. */
  function settle(work: () => Promise<void>): void {
    settling = true
    work()
      .catch((error: Error) => failed(error))
      .finally(() => {
        settling = false
        if (finished) close()
      })
  }

  async function begin(): Promise<void> {
    if (saved === undefined) {
      files = await beginAt(path, start, format, chain)
    } else {
      const resumed = await resume(path, saved, format, chain)
      files = resumed.files
      if (!resumed.found) counts.gaps++
    }
    lastRead = files[0]
    const nowMs = Date.now()
    for (const file of files.slice(0, -1)) file.rotatedMs = nowMs
    if (files.length > 0) store()
  }

  async function rotate(current: LogFile): Promise<void> {
    current.rotatedMs = Date.now()
    look(current, Date.now())
    const { files: newer } = await filesFrom(path, placeAtEnd(current), chain, current)
    for (const file of newer.slice(0, -1)) file.rotatedMs = Date.now()
    files.push(...newer)
    if (newer.length > 0) counts.rotations += newer.length
    else current.rotatedMs = undefined // its successor is gone again
  }

  async function truncated(file: LogFile): Promise<void> {
    counts.truncations++
    const { offset, tail, readModifiedMs } = file
    const before = files[files.indexOf(file) - 1]
    // Of what was not begun only its place is known: after the file before it.
    const found =
      offset === 0 && before !== undefined
        ? await filesFrom(path, placeAtEnd(before), chain, before)
        : await filesFrom(path, { id: undefined, offset, tail, modifiedMs: readModifiedMs }, chain)
    if (found.found) {
      for (const one of found.files.slice(0, -1)) one.rotatedMs = Date.now()
      files.splice(files.indexOf(file), 1, ...found.files)
      if (lastRead === file) lastRead = found.files[0]
      closeLogFile(file)
      return
    }
    // What was written between our last look and the truncation is gone, unless there was nothing.
    for (const one of found.files) closeLogFile(one)
    counts.gaps++
    format.reset()
    rewind(file)
    store()
  }

  /** What was not begun yet is found again by what comes before it. */
  function store(): void {
    const begun = files.filter(({ offset }) => offset > 0).slice(-MOST_SAVED)
    const [first = files[0]] = begun
    if (first === undefined) return
    const held = format.heldFrom()
    const list = (begun.length > 0 ? begun : [first]).map((file) =>
      savedFile(file, file === lastRead ? held : undefined),
    )
    const isBefore = carried !== undefined && held === 0 && !list.some(({ ino }) => ino === carried?.ino)
    if (carried !== undefined && isBefore) list.unshift(carried)
    else if (held !== 0) carried = undefined
    save({ files: list, modifiedMs: first.readModifiedMs })
  }

  function handOn(): void {
    counts.cutBytes += decoded.cutBytes
    counts.damagedRecords += decoded.damaged
    if (decoded.stdout.count + decoded.stderr.count > 0) deliver(decoded)
    clear(decoded)
    store()
    heldSinceMs = format.heldFrom() === undefined ? Number.POSITIVE_INFINITY : Date.now()
  }

  /** Tells the format that the file has changed, and remembers where an open line began. */
  function turnTo(file: LogFile): void {
    if (file === lastRead) return
    const held = format.heldFrom()
    if (held !== undefined && lastRead !== undefined && carried === undefined) carried = savedFile(lastRead, held)
    format.nextFile()
    lastRead = file
  }

  function readFrom(file: LogFile): boolean {
    turnTo(file)
    let most = SHARE_BYTES
    let bytes = readOn(file, share, most)
    let taken = bytes === undefined ? 0 : decode(file, bytes)
    if (taken === 0 && bytes?.length === most) {
      // A record that is longer than a share.
      most = limits.maxLineBytes + SHARE_BYTES
      if (large.length < TAIL_BYTES + most) large = Buffer.allocUnsafeSlow(TAIL_BYTES + most)
      bytes = readOn(file, large, most)
      taken = bytes === undefined ? 0 : decode(file, bytes)
      if (taken === 0 && bytes?.length === most) {
        decoded.damaged++
        taken = bytes.length
      }
    }
    if (bytes === undefined) {
      if (file === files.at(-1)) settle(() => truncated(file))
      else drop(file)
      return false
    }
    file.lookedTo = file.offset + bytes.length
    file.readModifiedMs = file.modifiedMs
    file.size = Math.max(file.size, file.lookedTo)
    advance(file, bytes, taken)
    if (taken > 0) handOn()
    return bytes.length === most
  }

  /** A program that does not append leaves a hole where the truncated content was. */
  function decode(file: LogFile, bytes: Buffer): number {
    const holes = format.isText && file.offset === 0 ? leadingNuls(bytes) : 0
    if (holes === 0) return format.decode(bytes, file.offset, decoded)
    return holes + format.decode(bytes.subarray(holes), file.offset + holes, decoded)
  }

  /** What is left of a file without an end, as a line. */
  function takeRest(file: LogFile): void {
    const rest = readOn(file, share, SHARE_BYTES)
    if (rest === undefined || rest.length === 0) return
    turnTo(file)
    format.rest(rest, decoded)
    advance(file, rest, rest.length)
    file.lookedTo = file.offset
    handOn()
  }

  function drop(file: LogFile): void {
    files = files.filter((one) => one !== file)
    closeLogFile(file)
    store()
  }

  function retire(nowMs: number): void {
    const [oldest] = files
    if (files.length < 2 || oldest === undefined || hasNews(oldest)) return
    const quietMs = nowMs - Math.max(oldest.grewMs, oldest.rotatedMs ?? nowMs)
    if (quietMs < GRACE_MS && finishingMs === undefined) return
    takeRest(oldest)
    drop(oldest)
  }

  /** Lines whose ends do not come. */
  function flushSilent(nowMs: number): void {
    const current = files.at(-1)
    if (current === undefined || hasNews(current)) return
    if (current.offset < current.size && nowMs - current.grewMs > limits.flushMs) takeRest(current)
    if (nowMs - heldSinceMs > limits.flushMs) {
      format.flush(decoded)
      handOn()
    }
  }

  function skipLag(): void {
    let tooMuch = lagBytes() > limits.maxLagBytes ? lagBytes() - limits.maxLagBytes / 2 : 0
    for (const file of files) {
      if (tooMuch <= 0) return
      const unread = file.size - file.offset
      const wanted = Math.min(unread, Math.ceil(tooMuch))
      const before = file.offset
      if (!seek(file, before + wanted)) continue
      if (wanted < unread) {
        const bytes = readOn(file, share, SHARE_BYTES)
        const boundary = bytes === undefined ? -1 : format.boundary(bytes, 1)
        if (boundary > 0) seek(file, file.offset + boundary)
      }
      format.reset()
      counts.skippedBytes += file.offset - before
      tooMuch -= wanted
      store()
    }
  }

  function lagBytes(): number {
    let sum = 0
    for (const { size, offset } of files) sum += Math.max(0, size - offset)
    return sum
  }

  function endWhenDone(nowMs: number): void {
    if (finishingMs === undefined || files.some(hasNews)) return
    const lastMs = Math.max(finishingMs, files.at(-1)?.grewMs ?? 0)
    if (nowMs - lastMs < GRACE_MS) return
    for (const file of files) takeRest(file)
    format.flush(decoded)
    handOn()
    close()
  }

  function close(): void {
    finished = true
    if (settling) return
    for (const file of files) closeLogFile(file)
    files = []
  }

  return {
    poll(nowMs) {
      if (settling || finished) return false
      const current = files.at(-1)
      const seen = currentFile(path)
      if (current === undefined) {
        if (seen !== undefined) settle(begin)
        else if (finishingMs !== undefined && nowMs - finishingMs > GRACE_MS) close()
        return false
      }
      if (seen !== undefined && isSameFile(seen, current)) {
        if (current.offset === 0 && seen.size < current.size) settle(() => truncated(current))
        note(current, seen.size, seen.modifiedMs, nowMs)
      } else {
        look(current, nowMs)
        if (seen !== undefined) settle(() => rotate(current))
      }
      for (const file of files) if (file !== current) look(file, nowMs)
      if (settling) return false
      if (files.some(hasNews)) {
        skipLag()
        return true
      }
      retire(nowMs)
      flushSilent(nowMs)
      endWhenDone(nowMs)
      return false
    },
    readShare() {
      if (settling || finished) return false
      const file = files.find(hasNews)
      const more = file !== undefined && (readFrom(file) || files.some(hasNews))
      // Nobody writes into what was rotated twice.
      const [oldest] = files
      if (oldest !== undefined && files.length > 2 && !hasNews(oldest)) {
        takeRest(oldest)
        drop(oldest)
      }
      return more
    },
    finish(ending) {
      finishingMs = ending ? (finishingMs ?? Date.now()) : undefined
    },
    get finished() {
      return finished
    },
    get settling() {
      return settling
    },
    get begun() {
      return files.length > 0
    },
    get lagBytes() {
      return lagBytes()
    },
    counts,
    close,
  }
}

function leadingNuls(bytes: Buffer): number {
  let nuls = 0
  while (nuls < bytes.length && bytes[nuls] === 0) nuls++
  return nuls
}

/** By its end a file is found again also where nothing of it was taken. */
function placeAtEnd({ fd, path, dev, ino, size, modifiedMs, ...rest }: LogFile) {
  const probe: LogFile = { ...rest, fd, path, dev, ino, size, modifiedMs }
  return { id: { dev, ino }, offset: size, modifiedMs, tail: seek(probe, size) ? probe.tail : Buffer.alloc(0) }
}
