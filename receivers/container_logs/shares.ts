// One share of a file at a time, decoded piece by piece: after each piece its lines are handed on and its place is saved,
// so that a kill at the worst moment brings only one piece again.
import type { Format } from './formats/format.ts'
import type { Decoded } from './lines.ts'
import { clear } from './lines.ts'
import { advance, hasNews, type LogFile, readOn, seek, TAIL_BYTES } from './log_file.ts'

/** One turn of one log: what takes about a fifth of a millisecond. */
export const SHARE_BYTES = 128 << 10
/** A share ends sooner where whoever takes the lines is slow. */
const SHARE_MS = 2
/** Saving a place costs some microseconds, decoding this much about ten times that. */
const PIECE_BYTES = 4 << 10

const share = Buffer.allocUnsafeSlow(TAIL_BYTES + SHARE_BYTES)
let large = share

export type ShareOptions = {
  readonly format: Format
  readonly maxLineBytes: number
  readonly decoded: Decoded
  /** After each piece. */
  readonly handOn: () => void
}

/** `truncated`: what stands before the offset is not what was read there. */
export function readOneShare(file: LogFile, options: ShareOptions): 'more' | 'all' | 'truncated' {
  let most = SHARE_BYTES
  let bytes = readOn(file, share, most)
  if (bytes === undefined) return 'truncated'
  if (take(file, bytes, options) === 0 && bytes.length === most) {
    // A record that is longer than a share.
    most = options.maxLineBytes + SHARE_BYTES
    if (large.length < TAIL_BYTES + most) large = Buffer.allocUnsafeSlow(TAIL_BYTES + most)
    bytes = readOn(file, large, most)
    if (bytes === undefined) return 'truncated'
    if (take(file, bytes, options) === 0 && bytes.length === most) {
      options.decoded.damaged++
      advance(file, bytes, bytes.length)
      options.handOn()
    }
  }
  return bytes.length === most || hasNews(file) ? 'more' : 'all'
}

/** What is left of a file without an end, as a line. */
export function takeRest(file: LogFile, { format, decoded, handOn }: ShareOptions): void {
  const rest = readOn(file, share, SHARE_BYTES)
  if (rest === undefined || rest.length === 0) return
  format.rest(rest, decoded)
  advance(file, rest, rest.length)
  file.lookedTo = file.offset
  handOn()
}

/** Leaves out about `unwanted` bytes, up to where a record begins. Answers how many it left out. */
export function skip(file: LogFile, unwanted: number, format: Format): number {
  const unread = file.size - file.offset
  const wanted = Math.min(unread, unwanted)
  const before = file.offset
  if (!seek(file, before + wanted)) return 0
  if (wanted < unread) {
    const bytes = readOn(file, share, SHARE_BYTES)
    const boundary = bytes === undefined ? -1 : format.boundary(bytes, 1)
    if (boundary > 0) seek(file, file.offset + boundary)
  }
  format.reset()
  return file.offset - before
}

/** Answers how much it took. */
function take(file: LogFile, bytes: Buffer, { format, decoded, handOn }: ShareOptions): number {
  file.lookedTo = file.offset + bytes.length
  file.readModifiedMs = file.modifiedMs
  file.size = Math.max(file.size, file.lookedTo)
  file.reached = Math.max(file.reached, file.size)
  const startMs = performance.now()
  let done = 0
  for (let most = PIECE_BYTES; done < bytes.length; ) {
    const piece = bytes.subarray(done, done + most)
    const taken = decode(file, piece, format, decoded)
    if (taken > 0) {
      advance(file, piece, taken)
      done += taken
      most = PIECE_BYTES
      handOn()
      if (performance.now() - startMs < SHARE_MS) continue
      file.lookedTo = file.offset
      break
    } else if (done + most >= bytes.length) break
    else {
      most *= 2
      clear(decoded)
    }
  }
  return done
}

/** A program that does not append leaves a hole where the truncated content was. */
function decode(file: LogFile, bytes: Buffer, format: Format, decoded: Decoded): number {
  const holes = format.isText && file.offset === 0 ? leadingNuls(bytes) : 0
  if (holes === 0) return format.decode(bytes, file.offset, decoded)
  return holes + format.decode(bytes.subarray(holes), file.offset + holes, decoded)
}

function leadingNuls(bytes: Buffer): number {
  let nuls = 0
  while (nuls < bytes.length && bytes[nuls] === 0) nuls++
  return nuls
}
