// Plain text: each line is a record, as the program itself wrote it.
import { append, appendLines, CARRIAGE_RETURN, type Decoded, endLine, NEWLINE, NO_SEVERITY } from '../lines.ts'
import type { Format, FormatOptions } from './format.ts'

/** Where the first line begins at or after `from`, for formats whose records are lines. */
export function lineBoundary(bytes: Buffer, from: number): number {
  if (from === 0) return 0
  const newline = bytes.indexOf(NEWLINE, from - 1)
  return newline === -1 ? -1 : newline + 1
}

export function text({ maxLineBytes }: FormatOptions): Format {
  /** What belongs to a line that was cut, up to its end, is left out. */
  let cutting = false

  function take(bytes: Buffer, start: number, end: number, into: Decoded): void {
    let stop = end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end
    if (stop - start > maxLineBytes) {
      into.cutBytes += stop - start - maxLineBytes
      stop = start + maxLineBytes
    }
    append(into.stdout, bytes, start, stop)
    endLine(into.stdout, Number.NaN, NO_SEVERITY)
  }

  return {
    timed: false,
    isText: true,
    decode(bytes, _at, into) {
      const last = bytes.lastIndexOf(NEWLINE)
      if (last === -1) {
        if (cutting) {
          into.cutBytes += bytes.length
          return bytes.length
        }
        if (bytes.length <= maxLineBytes) return 0
        take(bytes, 0, bytes.length, into)
        cutting = true
        return bytes.length
      }
      let start = 0
      if (cutting) {
        start = bytes.indexOf(NEWLINE) + 1
        into.cutBytes += start
        cutting = false
      }
      if (last - start < maxLineBytes && bytes.indexOf(CARRIAGE_RETURN, start) === -1) {
        appendLines(into.stdout, bytes, start, last + 1)
        return last + 1
      }
      while (start <= last) {
        const end = bytes.indexOf(NEWLINE, start)
        take(bytes, start, end, into)
        start = end + 1
      }
      return last + 1
    },
    heldFrom: () => undefined,
    rest(bytes, into) {
      if (!cutting) take(bytes, 0, bytes.length, into)
      cutting = false
    },
    flush() {},
    nextFile() {},
    reset() {
      cutting = false
    },
    boundary: lineBoundary,
  }
}
