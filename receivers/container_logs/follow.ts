// Follows one log from file to file: what was renamed is read to its end first, what was copied and truncated goes on
// in the copy, and the place of what has been handed on is saved with every delivery.
import { type Chain, type ChainOptions, filesFrom } from './chain.ts'
import type { Saved } from './checkpoints.ts'
import { type Counts, noCounts } from './counts.ts'
import type { Format } from './formats/format.ts'
import { clear, createDecoded, type Decoded } from './lines.ts'
import { closeLogFile, hasNews, isSameFile, type LogFile, look, rewind, seek } from './log_file.ts'
import { keepPlaces } from './places.ts'
import { readOneShare, type ShareOptions, skip, takeRest } from './shares.ts'
import { currentFile } from './siblings.ts'
import { beginAt, resume, type Start } from './start.ts'
import { watchFile } from './watch.ts'

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
  /** Calls `wake` when its file is written, renamed or removed. Undefined where it has to be looked at. */
  watch(wake: () => void): (() => void) | undefined
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

/** Programs go on to write into a file that was renamed, until they are told. */
const GRACE_MS = 3000
/** How often the log's name is looked at while its file goes on growing and nothing else happened to it. */
const NAME_EVERY_MS = 2000

const decoded = createDecoded()

export function follow({ path, format, chain, limits, start, saved, deliver, save, failed }: FollowOptions): Follower {
  const counts = noCounts()
  const places = keepPlaces(format, save)
  const shares: ShareOptions = { format, maxLineBytes: limits.maxLineBytes, decoded, handOn }
  /** Oldest first; the last is the current one. */
  let files: LogFile[] = []
  let settling = false
  let finishingMs: number | undefined
  let finished = false
  let heldSinceMs = Number.POSITIVE_INFINITY
  let namedMs = 0

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
      places.reading = files[0]
    } else {
      const resumed = await resume(path, saved, format, chain)
      files = resumed.files
      places.resumed(files, saved)
      if (!resumed.found) counts.gaps++
    }
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
    const { offset } = file
    const found = await whereNow(file, files[files.indexOf(file) - 1])
    if (found.found) {
      for (const one of found.files.slice(0, -1)) one.rotatedMs = Date.now()
      files.splice(files.indexOf(file), 1, ...found.files)
      if (places.reading === file) places.reading = found.files[0]
      closeLogFile(file)
      return
    }
    // What was written between our last look and the truncation is gone, and how much that was nobody knows.
    counts.skippedBytes += Math.max(0, file.reached - offset)
    for (const one of found.files) closeLogFile(one)
    counts.gaps++
    format.reset()
    rewind(file)
    store()
  }

  /** What stood in a file that was truncated is in a copy. */
  async function whereNow(file: LogFile, before: LogFile | undefined): Promise<Chain> {
    const { offset, tail, head, readModifiedMs } = file
    if (offset > 0) return filesFrom(path, { id: undefined, offset, tail, modifiedMs: readModifiedMs }, chain)
    // Of what was not begun its place is known: after the file before it. Without one, how it begins.
    if (before !== undefined) return filesFrom(path, placeAtEnd(before), chain, before)
    const place = { id: undefined, offset: head.length, tail: head, modifiedMs: readModifiedMs }
    const found = await filesFrom(path, place, chain)
    if (found.found && found.files[0] !== undefined) seek(found.files[0], 0)
    return found
  }

  const store = () => places.store(files)

  function handOn(): void {
    counts.cutBytes += decoded.cutBytes
    counts.damagedRecords += decoded.damaged
    try {
      if (decoded.stdout.count + decoded.stderr.count > 0) deliver(decoded)
    } finally {
      clear(decoded) // it is every log's
      store()
    }
    heldSinceMs = format.heldFrom() === undefined ? Number.POSITIVE_INFINITY : Date.now()
  }

  function readFrom(file: LogFile): boolean {
    places.turnTo(file)
    const read = readOneShare(file, shares)
    if (read === 'truncated') {
      if (file === files.at(-1)) settle(() => truncated(file))
      else drop(file)
    }
    return read === 'more'
  }

  function rest(file: LogFile): void {
    places.turnTo(file)
    takeRest(file, shares)
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
    rest(oldest)
    drop(oldest)
  }

  /** Lines whose ends do not come. */
  function flushSilent(nowMs: number): void {
    const current = files.at(-1)
    if (current === undefined || hasNews(current)) return
    if (current.offset < current.size && nowMs - current.grewMs > limits.flushMs) rest(current)
    if (nowMs - heldSinceMs > limits.flushMs) {
      format.flush(decoded)
      handOn()
    }
  }

  function skipLag(): void {
    let tooMuch = lagBytes() > limits.maxLagBytes ? lagBytes() - limits.maxLagBytes / 2 : 0
    for (const file of files) {
      if (tooMuch <= 0) return
      const skipped = skip(file, Math.ceil(tooMuch), format)
      counts.skippedBytes += skipped
      tooMuch -= skipped
      if (skipped > 0) store()
    }
  }

  function lagBytes(): number {
    let sum = 0
    for (const { size, offset } of files) sum += Math.max(0, size - offset)
    return sum
  }

  /** Its name costs more to look at than itself, so that is done when it may have changed: a rename has a time too. */
  function lookAt(current: LogFile, nowMs: number): void {
    const { size } = current
    look(current, nowMs)
    if (current.offset === 0 && current.size < size) {
      settle(() => truncated(current))
      return
    }
    const grows = current.size !== size && current.changedMs === current.modifiedMs
    if (grows && nowMs - namedMs < NAME_EVERY_MS) return
    namedMs = nowMs
    const seen = currentFile(path)
    if (seen !== undefined && !isSameFile(seen, current)) settle(() => rotate(current))
  }

  function endWhenDone(nowMs: number): void {
    if (finishingMs === undefined || files.some(hasNews)) return
    const lastMs = Math.max(finishingMs, files.at(-1)?.grewMs ?? 0)
    if (nowMs - lastMs < GRACE_MS) return
    for (const file of files) rest(file)
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
      if (current === undefined) {
        if (currentFile(path) !== undefined) settle(begin)
        else if (finishingMs !== undefined && nowMs - finishingMs > GRACE_MS) close()
        return false
      }
      lookAt(current, nowMs)
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
    watch(wake) {
      const [file] = files
      const isQuiet = files.length === 1 && file?.offset === file?.size && format.heldFrom() === undefined
      if (settling || finished || finishingMs !== undefined || file === undefined || !isQuiet) return undefined
      return watchFile(file, wake)
    },
    readShare() {
      if (settling || finished) return false
      const file = files.find(hasNews)
      const more = file !== undefined && (readFrom(file) || files.some(hasNews))
      // Nobody writes into what was rotated twice.
      const [oldest] = files
      if (oldest !== undefined && files.length > 2 && !hasNews(oldest)) {
        rest(oldest)
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

/** By its end a file is found again also where nothing of it was taken. */
function placeAtEnd({ fd, path, dev, ino, size, modifiedMs, ...rest }: LogFile) {
  const probe: LogFile = { ...rest, fd, path, dev, ino, size, modifiedMs }
  return { id: { dev, ino }, offset: size, modifiedMs, tail: seek(probe, size) ? probe.tail : Buffer.alloc(0) }
}
