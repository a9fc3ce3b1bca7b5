// Text files of the Container Runtime Interface: `2026-11-25T14:14:33.123456789Z stdout F message`. Tags are apart by
// colons; P says that the line goes on in the next record of the same stream, F that it ends (KEP, CRI logging).
import { type Decoded, NEWLINE } from '../lines.ts'
import type { Format, FormatOptions } from './format.ts'
import { hasAt } from './has_at.ts'
import { holdLines } from './held.ts'
import { lineBoundary } from './text.ts'
import { timestampMs } from './timestamp.ts'

const SPACE = 32
const PARTIAL = 80 // P
const LETTER_O = 111
const STDOUT = Buffer.from('stdout ')
const STDERR = Buffer.from('stderr ')

export function cri({ maxLineBytes }: FormatOptions): Format {
  const { add, ...held } = holdLines(maxLineBytes)

  function record(bytes: Buffer, start: number, end: number, at: number, into: Decoded): void {
    const stream = afterSpace(bytes, start, end)
    const tags = stream + STDOUT.length
    // An empty message may lack the space after its tags.
    const body = afterSpace(bytes, tags, end)
    const writtenMs = timestampMs(bytes, start, stream - 1)
    const isKnown = tags <= end && (hasAt(bytes, stream, STDOUT) || hasAt(bytes, stream, STDERR))
    if (!isKnown || Number.isNaN(writtenMs)) {
      into.damaged++
      return
    }
    const output = bytes[stream + 3] === LETTER_O ? 'stdout' : 'stderr'
    const last = bytes[tags] !== PARTIAL
    add(output, { bytes, start: body, end, last, writtenMs, at }, into)
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
    rest(bytes, into) {
      record(bytes, 0, bytes.length, 0, into)
    },
    ...held,
    boundary: lineBoundary,
  }
}

/** `end` where there is none. */
function afterSpace(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) if (bytes[at] === SPACE) return at + 1
  return end
}
