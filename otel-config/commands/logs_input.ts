// Bytes in any pieces → whole lines for the readers, without what Docker or Kubernetes put around each.
import type { Reader } from '../../processors/log_fingerprint/engine.ts'

/** `docker`: files of its json-file driver. `cri`: those of containerd and CRI-O. */
export const FORMATS = ['plain', 'docker', 'cri'] as const
export type Format = (typeof FORMATS)[number]

/** A line that never ends is cut here, so that memory stays bounded. */
const MAX_LINE_BYTES = 1 << 20
const NEWLINE = 0x0a

export type Input = {
  read(bytes: Buffer): void
  /** Ends open messages, as after a silence. */
  flush(): void
  /** A file ends; the next one may be written in another format. */
  endFile(): void
  /** Ends everything, also a last line without a line end. */
  end(): void
}

/** Numbers of lines in the input, from 1: of `count` lines that a reader was given, from its `first` on. */
export type LineNumbers = (first: number, count: number) => number[]

export type InputOptions = {
  readonly format: Format | 'auto'
  /** Whether to remember which line each was. */
  readonly isNumbered: boolean
  /** `numbers` gives the input's lines of those that the reader was given, where they are not just the same. */
  createReader(numbers: LineNumbers | undefined): Reader
}

export function createInput({ format, isNumbered, createReader }: InputOptions): Input {
  let known: Format | undefined = format === 'auto' ? undefined : format
  let into: Lines | undefined
  let rest: Buffer | undefined

  function lines(bytes: Buffer): Lines {
    if (into === undefined) {
      known ??= formatOf(bytes)
      into = known === 'plain' ? plainLines(createReader) : wrappedLines(known, isNumbered, createReader)
    }
    return into
  }

  return {
    read(bytes) {
      let from = 0
      // Only the line that was cut is copied; what follows it is read where it stands.
      if (rest !== undefined) {
        from = bytes.indexOf(NEWLINE) + 1
        const whole = Buffer.concat([rest, from === 0 ? bytes : bytes.subarray(0, from)])
        rest = undefined
        if (from === 0 && whole.length < MAX_LINE_BYTES) {
          rest = whole
          return
        }
        lines(whole).read(whole)
        if (from === 0) return
      }
      const end = bytes.lastIndexOf(NEWLINE) + 1
      const isCut = end <= from && bytes.length - from >= MAX_LINE_BYTES
      const to = isCut ? bytes.length : Math.max(end, from)
      if (to > from) lines(bytes).read(bytes.subarray(from, to))
      if (to < bytes.length) rest = Buffer.from(bytes.subarray(to))
    },
    flush: () => into?.flush(),
    endFile() {
      if (rest !== undefined) lines(rest).read(rest)
      rest = undefined
      // Numbers of lines count on.
      if (isNumbered) return
      into?.flush()
      into = undefined
      if (format === 'auto') known = undefined
    },
    end() {
      if (rest !== undefined) lines(rest).read(rest)
      rest = undefined
      into?.flush()
    },
  }
}

/** By the first line. */
function formatOf(bytes: Buffer): Format {
  const end = bytes.indexOf(NEWLINE)
  const first = bytes.toString('latin1', 0, Math.min(end < 0 ? bytes.length : end, 4096))
  if (/^\{"log":"/.test(first) && first.includes('"stream":"std')) return 'docker'
  return /^\d{4}-\d\d-\d\dT\S{8,40} std(?:out|err) [FP] /.test(first) ? 'cri' : 'plain'
}

type Lines = { read(bytes: Buffer): void; flush(): void }

function plainLines(createReader: InputOptions['createReader']): Lines {
  const reader = createReader(undefined)
  return { read: (bytes) => void reader.read(bytes), flush: () => reader.flush() }
}

/** stdout and stderr apart, and parts of a line joined. */
function wrappedLines(
  format: 'docker' | 'cri',
  isNumbered: boolean,
  createReader: InputOptions['createReader'],
): Lines {
  const unwrap = format === 'docker' ? unwrapDocker : unwrapCri
  const streams = [streamOf(isNumbered, createReader), streamOf(isNumbered, createReader)] as const
  let number = 0
  return {
    read(bytes) {
      for (let at = 0; at < bytes.length; ) {
        const found = bytes.indexOf(NEWLINE, at)
        const end = found < 0 ? bytes.length : found
        number++
        const line = unwrap(bytes, at, end)
        streams[line.isStderr ? 1 : 0].add(line, number)
        at = end + 1
      }
      for (const stream of streams) stream.hand()
    },
    flush() {
      for (const stream of streams) stream.flush()
    },
  }
}

type Unwrapped = {
  readonly bytes: Buffer
  readonly isStderr: boolean
  readonly isPart: boolean
  readonly timeMs: number
}

function streamOf(isNumbered: boolean, createReader: InputOptions['createReader']) {
  /** Of each line, where its parts stood. */
  const numbers: number[][] = []
  let pieces: Buffer[] = []
  let times: number[] = []
  let isOpen = false
  const reader = createReader(
    isNumbered ? (first, count) => numbers.slice(first - 1, first - 1 + count).flat() : undefined,
  )

  function hand() {
    if (pieces.length === 0) return
    // A part waits for the rest of its line.
    const waiting: Buffer[] = []
    const waitingTimes: number[] = []
    if (isOpen) {
      while (pieces.length > 0 && pieces.at(-1) !== LINE_END) waiting.unshift(pieces.pop() as Buffer)
      waitingTimes.unshift(times.pop() as number)
    }
    if (pieces.length > 0) reader.read(Buffer.concat(pieces), undefined, Float64Array.from(times))
    pieces = waiting
    times = waitingTimes
  }

  return {
    hand,
    add({ bytes, isPart, timeMs }: Unwrapped, number: number) {
      if (isNumbered) {
        if (isOpen) numbers.at(-1)?.push(number)
        else numbers.push([number])
      }
      if (!isOpen) times.push(timeMs)
      pieces.push(bytes)
      if (!isPart) pieces.push(LINE_END)
      isOpen = isPart
    },
    flush() {
      if (isOpen) {
        pieces.push(LINE_END)
        isOpen = false
      }
      hand()
      reader.flush()
    },
  }
}

const LINE_END = Buffer.from('\n')

/** `{"log":"…\n","stream":"stdout","time":"…"}`; without the `\n` the line goes on in the next. */
function unwrapDocker(bytes: Buffer, from: number, to: number): Unwrapped {
  try {
    const record = JSON.parse(bytes.toString('utf8', from, to)) as { log?: unknown; stream?: unknown; time?: unknown }
    const log = String(record.log ?? '')
    const isPart = !log.endsWith('\n')
    // A line end inside would make two lines of one.
    const text = (isPart ? log : log.slice(0, -1)).replaceAll('\n', ' ')
    return {
      bytes: Buffer.from(text),
      isStderr: record.stream === 'stderr',
      isPart,
      timeMs: Date.parse(String(record.time)),
    }
  } catch {
    return { bytes: bytes.subarray(from, to), isStderr: false, isPart: false, timeMs: Number.NaN }
  }
}

/** `TIME stdout F text`; P marks a part. */
function unwrapCri(bytes: Buffer, from: number, to: number): Unwrapped {
  const head = /^(\S{1,64}) (stdout|stderr) ([FP])(?::\S{0,64})? /.exec(
    bytes.toString('latin1', from, Math.min(to, from + 160)),
  )
  if (head === null) return { bytes: bytes.subarray(from, to), isStderr: false, isPart: false, timeMs: Number.NaN }
  return {
    bytes: bytes.subarray(from + head[0].length, to),
    isStderr: head[2] === 'stderr',
    isPart: head[3] === 'P',
    timeMs: Date.parse(head[1] ?? ''),
  }
}
