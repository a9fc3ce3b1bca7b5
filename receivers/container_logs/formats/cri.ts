// Text files of the Container Runtime Interface: `2026-11-25T14:14:33.123456789Z stdout F message`. Tags are apart by
// colons; P says that the line goes on in the next record of the same stream, F that it ends (KEP, CRI logging).
import { type Decoded, NEWLINE } from '../lines.ts'
import type { Format, FormatOptions } from './format.ts'
import { holdLines } from './held.ts'
import { lineBoundary } from './text.ts'
import { timestampMs } from './timestamp.ts'

const SPACE = 32
const PARTIAL = 80 // P
const LETTER_O = 111
const OUTPUTS = [Buffer.from('stdout '), Buffer.from('stderr ')]

export function cri({ maxLineBytes }: FormatOptions): Format {
  const held = holdLines(maxLineBytes)

  function record(bytes: Buffer, start: number, end: number, at: number, into: Decoded): void {
    const stream = bytes.indexOf(SPACE, start) + 1
    const tags = stream === 0 ? 0 : bytes.indexOf(SPACE, stream) + 1
    // An empty message may lack the space after its tags.
    let body = tags === 0 ? 0 : bytes.indexOf(SPACE, tags) + 1
    if (body === 0 || body > end + 1) body = end + 1
    const writtenMs = timestampMs(bytes, start, stream - 1)
    const known =
      stream > start &&
      tags > stream &&
      tags <= end &&
      OUTPUTS.some((name) => bytes.subarray(stream, tags).equals(name))
    if (!known || Number.isNaN(writtenMs)) {
      into.damaged++
      return
    }
    const output = bytes[stream + 3] === LETTER_O ? 'stdout' : 'stderr'
    const last = bytes[tags] !== PARTIAL
    held.add(output, { bytes, start: Math.min(body, end), end, last, writtenMs, at }, into)
  }

  return {
    timed: true,
    isText: true,
    decode(bytes, at, into) {
      let start = 0
      for (;;) {
        const end = bytes.indexOf(NEWLINE, start)
        if (end === -1) return start
        if (end > start) record(bytes, start, end, at + start, into)
        start = end + 1
      }
    },
    heldFrom: held.from,
    rest(bytes, into) {
      record(bytes, 0, bytes.length, 0, into)
    },
    flush: held.flush,
    nextFile: held.nextFile,
    reset: held.reset,
    boundary: lineBoundary,
  }
}
