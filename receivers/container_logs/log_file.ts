// One file of a log, open and read at our own offset: its descriptor stays good when it is renamed or removed.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/** Which file it is. Numbers of inodes are used again, so what was read last tells the rest. */
export type FileId = { readonly dev: bigint; readonly ino: bigint }

/** Bytes before the offset that are looked at again at each reading. */
export const TAIL_BYTES = 64

export type LogFile = FileId & {
  readonly fd: number
  /** Where it was found; renamed since, maybe. */
  readonly path: string
  /** What has been taken. */
  offset: number
  /** The last bytes before the offset, at most TAIL_BYTES. */
  tail: Buffer
  /** Its first bytes as they were when it was opened, by which it is known until some of it is taken. */
  head: Buffer
  /** As the last look had it. */
  size: number
  /** When it was last written, in milliseconds since the epoch, as the last look had it. */
  modifiedMs: number
  /** When it was last written or renamed, or got or lost a name. */
  changedMs: number
  /** The greatest size since its content began. */
  reached: number
  /** modifiedMs when it was last read: what was put in its place later is newer. */
  readModifiedMs: number
  /** How far it was read; what is taken of that may be less, when its last record is not whole. */
  lookedTo: number
  /** When it stopped to be the log's current file; undefined while it is. */
  rotatedMs: number | undefined
  /** When it was last seen to grow. */
  grewMs: number
}

/** O_NONBLOCK: a FIFO must not keep us waiting. O_NOFOLLOW: a link may point anywhere. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | constants.O_NOFOLLOW

/** Throws what open(2) says. Never a FIFO, a device or a directory: those are undefined. */
export const openLogFile = (path: string): LogFile | undefined => logFileOf(openSync(path, FLAGS), path)

/** Takes the descriptor over. */
export function logFileOf(fd: number, path: string): LogFile | undefined {
  const stat = fstatSync(fd, { bigint: true })
  if (!stat.isFile()) {
    closeSync(fd)
    return undefined
  }
  const { dev, ino } = stat
  const size = Number(stat.size)
  const modifiedMs = Number(stat.mtimeNs) / 1e6
  const changedMs = Number(stat.ctimeNs) / 1e6
  const file = {
    fd,
    path,
    dev,
    ino,
    head: bytesAt(fd, 0, size),
    size,
    modifiedMs,
    changedMs,
    reached: size,
    offset: 0,
    tail: Buffer.alloc(0),
  }
  return { ...file, lookedTo: 0, readModifiedMs: modifiedMs, rotatedMs: undefined, grewMs: Date.now() }
}

/** At most TAIL_BYTES, and none from `end` on. */
export function bytesAt(fd: number, at: number, end: number): Buffer {
  const bytes = Buffer.alloc(Math.max(0, Math.min(TAIL_BYTES, end - at)))
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, at))
}

export const isSameFile = (one: FileId, other: FileId): boolean => one.ino === other.ino && one.dev === other.dev

/** Asks for size and times. */
export function look(file: LogFile, nowMs: number): void {
  const { size, mtimeMs, ctimeMs } = fstatSync(file.fd)
  if (size !== file.size) file.grewMs = nowMs
  file.size = size
  file.reached = Math.max(file.reached, size)
  file.modifiedMs = mtimeMs
  file.changedMs = ctimeMs
}

/** Whether there is what nobody has looked at yet, or less than there was, or as much but written since. */
export const hasNews = ({ size, lookedTo, modifiedMs, readModifiedMs }: LogFile): boolean =>
  size !== lookedTo || modifiedMs !== readModifiedMs

/**
 * At most `most` bytes from the offset on, in `scratch` (which needs TAIL_BYTES more). Undefined when what stands
 * before the offset, or at its beginning, is not what was read there: then it was truncated and written anew.
 */
export function readOn(file: LogFile, scratch: Buffer, most: number): Buffer | undefined {
  const { tail, head } = file
  const got = readSync(file.fd, scratch, 0, tail.length + most, file.offset - tail.length)
  if (got < tail.length || scratch.compare(tail, 0, tail.length, 0, tail.length) !== 0) return undefined
  const isOther =
    file.offset === 0 && (got < head.length || scratch.compare(head, 0, head.length, 0, head.length) !== 0)
  return isOther ? undefined : scratch.subarray(tail.length, got)
}

/** `taken` bytes of what `readOn` returned are done with. */
export function advance(file: LogFile, bytes: Buffer, taken: number): void {
  if (taken === 0) return
  const kept = Math.min(TAIL_BYTES, file.offset + taken)
  const tail = Buffer.allocUnsafe(kept)
  const fromNew = Math.min(kept, taken)
  file.tail.copy(tail, 0, file.tail.length - (kept - fromNew))
  bytes.copy(tail, kept - fromNew, taken - fromNew, taken)
  file.offset += taken
  file.tail = tail
}

/** To the beginning of what is now another content. */
export function rewind(file: LogFile): void {
  file.offset = 0
  file.lookedTo = 0
  file.reached = 0
  file.head = Buffer.alloc(0)
  file.tail = Buffer.alloc(0)
}

/** Goes to an offset without reading what lies before it, except for the tail. False where the file is shorter. */
export function seek(file: LogFile, offset: number): boolean {
  const tail = Buffer.alloc(Math.min(TAIL_BYTES, offset))
  if (readSync(file.fd, tail, 0, tail.length, offset - tail.length) < tail.length) return false
  file.offset = offset
  file.lookedTo = offset
  file.tail = tail
  return true
}

export function closeLogFile({ fd }: LogFile): void {
  closeSync(fd)
}
