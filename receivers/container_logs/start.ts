// Where reading begins: at the place that was saved, at the beginning, at the end, or at a point in time.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type ChainOptions, filesFrom, filesSince, seekTo } from './chain.ts'
import type { Saved, SavedFile } from './checkpoints.ts'
import type { Format } from './formats/format.ts'
import { clear, createDecoded } from './lines.ts'
import { type Head, isSameFile, type LogFile, openLogFile, readOn, seek, TAIL_BYTES } from './log_file.ts'

export type Start =
  /** What is written from now on. */
  | { readonly at: 'end' }
  /** What was written since then, in milliseconds since the epoch; `whole`: what the log has was all written later. */
  | { readonly at: 'time'; readonly sinceMs: number; readonly whole: boolean }

const WINDOW_BYTES = 64 << 10
const TURN_MS = 5
const window = Buffer.allocUnsafeSlow(TAIL_BYTES + WINDOW_BYTES)
const decoded = createDecoded()

export async function beginAt(path: string, start: Start, format: Format, options: ChainOptions): Promise<LogFile[]> {
  if (start.at === 'end') {
    const file = openLogFile(path)
    if (file) seekToEnd(file, format)
    return file ? [file] : []
  }
  const files = await filesSince(path, start.sinceMs, options)
  if (!start.whole && files[0] !== undefined) {
    if (format.timed) seekToTime(files[0], format, start.sinceMs)
    else seekToEnd(files[0], format)
  }
  return files
}

/** The place that was saved, with the beginnings of lines that had not ended there put back into the format. */
export async function resume(path: string, saved: Saved, format: Format, options: ChainOptions) {
  const [first] = saved.files
  if (first === undefined) return { files: [], found: false }
  const place = {
    id: { dev: BigInt(first.dev), ino: BigInt(first.ino) },
    offset: first.offset,
    tail: Buffer.from(first.tail, 'base64'),
    head: parseHead(first.head),
    modifiedMs: saved.modifiedMs,
  }
  const chain = await filesFrom(path, place, options)
  for (const [index, file] of chain.files.entries()) {
    // Meanwhile it may have been compressed, and then it is another file with the same content.
    const known =
      index === 0 && chain.found
        ? first
        : (saved.files.find((one) => isSaved(file, one)) ?? saved.files.find((one) => isAt(file, one)))
    if (known === undefined) continue
    if (file.offset !== known.offset && !isAt(file, known)) continue
    await replay(file, known, format)
  }
  return chain
}

const isSaved = (file: LogFile, { dev, ino }: SavedFile): boolean =>
  isSameFile(file, { dev: BigInt(dev), ino: BigInt(ino) })

function isAt(file: LogFile, { offset, tail, head }: SavedFile): boolean {
  const place = { offset, tail: Buffer.from(tail, 'base64'), head: parseHead(head) }
  if (offset > 0 && seekTo(file, place)) return true
  seek(file, 0)
  return false
}

/** Reads again what was handed on already, for what of it had not become a line. */
async function replay(file: LogFile, { offset, replay: from }: SavedFile, format: Format): Promise<void> {
  if (from === undefined || from >= offset || !seek(file, from)) return
  if (from === 0) format.nextFile()
  let startMs = performance.now()
  while (file.offset < offset) {
    // One output may have been silent in the middle of a line while the other wrote a lot.
    if (performance.now() - startMs > TURN_MS) {
      await nextTurn()
      startMs = performance.now()
    }
    const bytes = readOn(file, window, Math.min(WINDOW_BYTES, offset - file.offset))
    const taken = bytes === undefined ? 0 : format.decode(bytes, file.offset, decoded)
    clear(decoded)
    if (taken === 0) break
    seek(file, file.offset + taken)
  }
  seek(file, offset)
}

/** After the last whole record. */
function seekToEnd(file: LogFile, format: Format): void {
  const from = Math.max(0, file.size - WINDOW_BYTES)
  seek(file, from)
  const bytes = readOn(file, window, WINDOW_BYTES)
  if (bytes === undefined) return
  let boundary = format.boundary(bytes, from === 0 ? 0 : 1)
  if (boundary === -1) return void seek(file, file.size)
  // From the first boundary on every record is taken, so the last one is where that ends.
  const taken = format.decode(bytes.subarray(boundary), from + boundary, decoded)
  clear(decoded)
  format.reset()
  boundary += taken
  seek(file, from + boundary)
}

/** To the first record that is not older, by halves. */
function seekToTime(file: LogFile, format: Format, sinceMs: number): void {
  let low = 0
  let high = file.size
  while (high - low > WINDOW_BYTES / 2) {
    const middle = Math.floor((low + high) / 2)
    const found = timeAt(file, format, middle, middle === 0 ? 0 : 1)
    if (found === undefined || found.writtenMs >= sinceMs) high = middle
    else low = found.end
  }
  seek(file, low)
  for (;;) {
    const found = timeAt(file, format, low, 0)
    if (found === undefined || found.writtenMs >= sinceMs || found.end <= low) break
    low = found.end
  }
  seek(file, low)
}

/** When the first record was written that begins `from` bytes or more after an offset, and where it ends. */
function timeAt(file: LogFile, format: Format, offset: number, from: number) {
  seek(file, offset)
  const bytes = readOn(file, window, WINDOW_BYTES)
  if (bytes === undefined || bytes.length === 0) return undefined
  const begin = format.boundary(bytes, from)
  if (begin === -1) return undefined
  const next = format.boundary(bytes, begin + 1)
  if (next === -1) return undefined
  format.decode(bytes.subarray(begin, next), 0, decoded)
  format.flush(decoded)
  const writtenMs = decoded.stdout.count > 0 ? decoded.stdout.writtenMs[0] : decoded.stderr.writtenMs[0]
  clear(decoded)
  return writtenMs === undefined ? undefined : { writtenMs, end: offset + next }
}

export function savedFile({ dev, ino, offset, tail, head }: LogFile, replayFrom: number | undefined): SavedFile {
  const replay = replayFrom === undefined ? {} : { replay: replayFrom }
  const begins = `${head.bytes}:${head.sum}`
  return { dev: String(dev), ino: String(ino), offset, ...replay, tail: tail.toString('base64'), head: begins }
}

function parseHead(written: string | undefined): Head | undefined {
  const [bytes = 0, sum = 0] = written?.split(':').map(Number) ?? []
  return written === undefined ? undefined : { bytes, sum }
}
