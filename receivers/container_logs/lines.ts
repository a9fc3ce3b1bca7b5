// Lines on their way out of a decoder: bytes laid end to end in a buffer that is used again and again.

/** Lines of one output. Grows as needed; `length` and `count` say how much of it is filled. */
export type Lines = {
  bytes: Buffer
  /** Bytes filled. Every line ends with `\n`. */
  length: number
  count: number
  /** Of each line, in milliseconds since the epoch; NaN where nobody says. Empty where the format has no times. */
  writtenMs: Float64Array
  /** Of each line; empty where the format has none. */
  severities: Uint8Array
}

/** What a decoder fills: a format that keeps no outputs apart uses the first. */
export type Decoded = {
  readonly stdout: Lines
  readonly stderr: Lines
  /** Bytes of lines that were longer than `maxLineBytes`, and are not among them. */
  cutBytes: number
  /** Records that are not what the format says. */
  damaged: number
}

export function createDecoded(): Decoded {
  return { stdout: emptyLines(), stderr: emptyLines(), cutBytes: 0, damaged: 0 }
}

const emptyLines = (): Lines => ({
  bytes: Buffer.allocUnsafeSlow(1 << 16),
  length: 0,
  count: 0,
  writtenMs: new Float64Array(1024),
  severities: new Uint8Array(1024),
})

export function clear(decoded: Decoded): void {
  decoded.stdout.length = 0
  decoded.stdout.count = 0
  decoded.stderr.length = 0
  decoded.stderr.count = 0
  decoded.cutBytes = 0
  decoded.damaged = 0
}

/** Makes room for `more` bytes after what is filled. */
export function reserve(lines: Lines, more: number): void {
  if (lines.length + more <= lines.bytes.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(lines.bytes.length * 2, lines.length + more))
  lines.bytes.copy(grown, 0, 0, lines.length)
  lines.bytes = grown
}

/** Ends the line whose bytes have been put in place. */
export function endLine(lines: Lines, writtenMs: number, severity: number): void {
  reserve(lines, 1)
  lines.bytes[lines.length++] = NEWLINE
  if (lines.count === lines.writtenMs.length) {
    const times = new Float64Array(lines.count * 2)
    times.set(lines.writtenMs)
    lines.writtenMs = times
    const severities = new Uint8Array(lines.count * 2)
    severities.set(lines.severities)
    lines.severities = severities
  }
  lines.writtenMs[lines.count] = writtenMs
  lines.severities[lines.count] = severity
  lines.count++
}

export const NEWLINE = 10
export const CARRIAGE_RETURN = 13
/** What `severities` holds where nobody says how grave a line is. */
export const NO_SEVERITY = 255

/** Copies a piece to the end, unless it was put there. Short ones byte by byte, which is faster than a call. */
export function append(lines: Lines, bytes: Uint8Array, start: number, end: number): void {
  if (bytes === lines.bytes && start === lines.length) {
    lines.length = end
    return
  }
  reserve(lines, end - start)
  const { bytes: to } = lines
  let at = lines.length
  if (end - start > 48) {
    to.set(bytes.subarray(start, end), at)
    at += end - start
  } else {
    for (let i = start; i < end; i++) to[at++] = bytes[i] ?? 0
  }
  lines.length = at
}

/** Whole lines at once, without times and severities. */
export function appendLines(lines: Lines, bytes: Buffer, start: number, end: number): void {
  append(lines, bytes, start, end)
  for (let at = start; at < end; at = bytes.indexOf(NEWLINE, at) + 1) lines.count++
}
