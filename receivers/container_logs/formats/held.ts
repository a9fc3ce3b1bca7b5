// Beginnings of lines, kept until their ends come: Docker writes long lines in pieces of 16 KiB, the CRI with a flag P.
import { append, CARRIAGE_RETURN, type Decoded, endLine, type Lines, NEWLINE, NO_SEVERITY } from '../lines.ts'
import type { Format } from './format.ts'

export type Output = 'stdout' | 'stderr'

export type Held = Pick<Format, 'heldFrom' | 'flush' | 'nextFile' | 'reset'> & {
  /** Adds a record to the line of its output: `bytes[start, end)`, already as the container wrote it. */
  add(output: Output, piece: Piece, into: Decoded): void
}

export type Piece = {
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
  /** Whether its line ends with it. */
  readonly last: boolean
  readonly writtenMs: number
  /** Where its record begins in the file. */
  readonly at: number
}

type Line = { bytes: Buffer; length: number; at: number; writtenMs: number; open: boolean }

export function holdLines(maxLineBytes: number): Held {
  const open: Record<Output, Line> = { stdout: newLine(), stderr: newLine() }

  function add(output: Output, { bytes, start, end, last, writtenMs, at }: Piece, into: Decoded): void {
    const line = open[output]
    const lines = into[output]
    if (last && !line.open) {
      finish(lines, bytes, start, end, writtenMs, into)
      return
    }
    if (!line.open) {
      line.open = true
      line.length = 0
      line.at = at
      line.writtenMs = writtenMs
    }
    const fits = Math.min(end - start, maxLineBytes - line.length)
    into.cutBytes += end - start - fits
    grow(line, fits)
    line.bytes.set(bytes.subarray(start, start + fits), line.length)
    line.length += fits
    if (last) release(line, lines, into)
  }

  function release(line: Line, lines: Lines, into: Decoded): void {
    finish(lines, line.bytes, 0, line.length, line.writtenMs, into)
    line.open = false
    if (line.bytes.length > 1 << 16) line.bytes = Buffer.alloc(0)
  }

  function finish(lines: Lines, bytes: Uint8Array, start: number, end: number, ms: number, into: Decoded): void {
    let stop = end
    if (stop > start && bytes[stop - 1] === NEWLINE) stop--
    if (stop > start && bytes[stop - 1] === CARRIAGE_RETURN) stop--
    if (stop - start > maxLineBytes) {
      into.cutBytes += stop - start - maxLineBytes
      stop = start + maxLineBytes
    }
    append(lines, bytes, start, stop)
    endLine(lines, ms, NO_SEVERITY)
  }

  return {
    add,
    heldFrom() {
      const { stdout, stderr } = open
      if (stdout.open && stderr.open) return Math.min(stdout.at, stderr.at)
      return stdout.open ? stdout.at : stderr.open ? stderr.at : undefined
    },
    flush(into) {
      for (const output of ['stdout', 'stderr'] as const) {
        if (open[output].open) release(open[output], into[output], into)
      }
    },
    nextFile() {
      for (const line of Object.values(open)) line.at = 0
    },
    reset() {
      open.stdout.open = false
      open.stderr.open = false
    },
  }
}

const newLine = (): Line => ({ bytes: Buffer.alloc(0), length: 0, at: 0, writtenMs: Number.NaN, open: false })

function grow(line: Line, more: number): void {
  if (line.length + more <= line.bytes.length) return
  const grown = Buffer.alloc(Math.max(1 << 15, line.bytes.length * 2, line.length + more))
  line.bytes.copy(grown, 0, 0, line.length)
  line.bytes = grown
}
