// Lines → messages: joins what belongs together, one stream at a time, and reads each message's pattern and level.
// The next line decides where a message ends, never a clock; only the last one waits, until `flush`.
import { byteAt, ESCAPE, isDigit, isLetter, NEWLINE, RETURN, SPACE, skipSpace, TAB } from './bytes.ts'
import { content, levelInText, readContent, readJsonLine, repeatContent } from './content.ts'
import { fields, readJson } from './fields.ts'
import { beginning, head, readHead } from './head.ts'
import { CRITICAL, ERROR, INFO, levelOf, levelOfSeverity, levelWord, UNKNOWN, WARNING } from './levels.ts'
import { mask, masked } from './mask.ts'
import { findRepeat, keepRepeat, repeat } from './repeats.ts'
import * as shape from './shapes.ts'
import { timeMs } from './time.ts'

/** What the open message waits for. */
const NOTHING = 0
/** Python: indented frames, then the line that says what went wrong. */
const FRAMES = 1
const AFTER_FRAMES = 2
/** Between two tracebacks. */
const CHAINED = 3
const GO_STACK = 4
/** Node: the line of code, then the error. */
const CODE = 5
const ERROR_AFTER_CODE = 6
const REPORT_AFTER_BAR = 7
/** A sanitizer's report, up to its closing bar. */
const REPORT = 8
/** The message is on the next line. */
const NEXT_LINE = 9
/** A JSON object over many lines. */
const PRETTY_JSON = 10
/** A sanitizer's report after its summary: only what is indented or marked still belongs to it. */
const AFTER_SUMMARY = 11
/** Python's exception group: its name stands behind the first bar that no space follows. */
const GROUP_NAME = 12

/** No message takes more lines: a stream that only continues must not become one message for ever. */
const MAX_LINES = 10_000

/** A stream and its open message. What `onMessage` is given; valid during the call only. */
export type Message = {
  isOpen: boolean
  /** The halves of the pattern's hash. */
  high: number
  low: number
  level: number
  /** When it was written, in milliseconds since the epoch: as its runtime said, else as it says, if that is read. */
  writtenMs: number
  /** Number of the first line, from 1, and how many lines follow it (without blank lines at the end). */
  firstLine: number
  lines: number
  /** Where it stands: the bytes kept from earlier chunks, then these. */
  kept: Buffer | undefined
  bytes: Buffer
  from: number
  to: number
  /** It began with a time. */
  isTimed: boolean
}

type Stream = Message & {
  line: number
  waitsFor: number
  isRecord: boolean
  severity: number
  /** The line above ends like one that goes on. */
  goesOn: boolean
  /** Words behind the time when there was no level: two or three are a class and a method. */
  isBareHead: boolean
  isErrorText: boolean
}

export type Reader = {
  /** Reads whole lines, and says how many. What was still open is continued, or ended by the first of them. */
  read(bytes: Buffer, severities?: Uint8Array, writtenMs?: Float64Array): number
  /** Ends the open message. */
  flush(): void
  readonly isOpen: boolean
}

export type ReaderOptions = {
  /** How many bytes of a message that goes on in another chunk are kept, for samples. */
  readonly keepBytes: number
  /** Whether to understand the times that lines show. */
  readonly readsTime?: boolean
  onMessage(message: Message): void
  /** Called when a message begins, as long as the line that says what it is about is at hand. */
  onText?(): void
}

const NOWHERE: Buffer = Buffer.alloc(0)

export function createReader({ keepBytes, readsTime = false, onMessage, onText }: ReaderOptions): Reader {
  const stream: Stream = {
    isOpen: false,
    high: 0,
    low: 0,
    level: UNKNOWN,
    writtenMs: Number.NaN,
    firstLine: 0,
    lines: 0,
    kept: undefined,
    bytes: NOWHERE,
    from: 0,
    to: 0,
    isTimed: false,
    line: 0,
    waitsFor: NOTHING,
    isRecord: false,
    severity: 255,
    goesOn: false,
    isBareHead: false,
    isErrorText: false,
  }

  function end() {
    if (!stream.isOpen) return
    stream.isOpen = false
    if (stream.level === UNKNOWN && stream.severity !== 255) stream.level = levelOfSeverity(stream.severity)
    onMessage(stream)
    stream.kept = undefined
  }

  /** A message begins with a line that `content` and `masked` describe. */
  function begin(from: number, to: number, isTimed: boolean) {
    stream.isOpen = true
    stream.high = masked.high
    stream.low = masked.low
    stream.level = content.level
    stream.firstLine = stream.line
    stream.lines = 1
    stream.from = from
    stream.to = to
    stream.isTimed = isTimed
    stream.isRecord = content.isRecord
    stream.waitsFor = NOTHING
    stream.isBareHead = false
    stream.isErrorText = false
    stream.writtenMs = Number.NaN
    if (readsTime && content.timeTo > content.timeFrom) {
      stream.writtenMs = timeMs(content.line, content.timeFrom, content.timeTo)
    }
    if (onText !== undefined) onText()
  }

  /** The line that says what the message is about came later. */
  function retitle(bytes: Buffer, from: number, to: number, seed: number) {
    mask(bytes, from, to, seed)
    stream.high = masked.high
    stream.low = masked.low
    content.bytes = bytes
    content.isRepeat = false
    if (onText !== undefined) onText()
  }

  function next(to: number) {
    stream.lines = stream.line - stream.firstLine + 1
    stream.to = to
    if (stream.lines >= MAX_LINES) end()
  }

  /** `bytes` from `from` to `to` is the line without its end and without colours; the others are where it stands. */
  function line(bytes: Buffer, from: number, to: number, chunkFrom: number, chunkTo: number) {
    const first = bytes[from] as number
    if (first <= SPACE) {
      const start = skipSpace(bytes, from, to)
      if (start === to) return
      if (isContinuation(bytes, start, to)) return next(chunkTo)
      return other(bytes, start, to, chunkFrom, chunkTo)
    }
    if (first === 0x7b && readJsonLine(bytes, from, to)) {
      end()
      begin(chunkFrom, chunkTo, false)
      return
    }
    const known = beginning(bytes, from, to)
    if (known !== undefined && findRepeat(bytes, from, to, known)) {
      end()
      repeatContent(bytes, from, to, known)
      begin(chunkFrom, chunkTo, true)
      stream.isBareHead = repeat.isBare
      stream.goesOn = endsOpen(bytes[to - 1] as number)
      return
    }
    readHead(bytes, from, to, known)
    if (head.isTimed) {
      end()
      readContent(bytes, to)
      begin(chunkFrom, chunkTo, true)
      stream.isBareHead = content.level === UNKNOWN && isBare(bytes, head.text, to)
      stream.goesOn = endsOpen(bytes[to - 1] as number)
      if (known !== undefined) keepRepeat(bytes, head.text, to, content.level, stream.isBareHead)
      return
    }
    other(bytes, from, to, chunkFrom, chunkTo)
  }

  /** Indented: belongs to what is above, unless it shows a time and a level of its own. */
  function isContinuation(bytes: Buffer, from: number, to: number): boolean {
    if (isDigit(bytes[from] as number)) {
      readHead(bytes, from, to)
      if (head.isTimed && head.level !== UNKNOWN) return false
    }
    if (!stream.isOpen) return false
    if (bytes[from] === 0x2b && shape.shapeOf(bytes, from, to) === shape.TRACEBACK) return stream.isTimed
    if (stream.waitsFor === CODE) stream.waitsFor = ERROR_AFTER_CODE
    else if (stream.waitsFor === NEXT_LINE) takeTitle(bytes, from, to)
    else if (stream.waitsFor === PRETTY_JSON) lookForFields(bytes, from, to)
    else if (stream.waitsFor === GROUP_NAME && bytes[from] === 0x7c) takeGroupName(bytes, from, to)
    return true
  }

  function takeTitle(bytes: Buffer, from: number, to: number) {
    stream.waitsFor = NOTHING
    retitle(bytes, from, to, stream.low)
  }

  function takeGroupName(bytes: Buffer, from: number, to: number) {
    const name = from + 2
    if (name >= to || (bytes[name] as number) <= SPACE) return
    stream.waitsFor = NOTHING
    retitle(bytes, name, to, 0)
  }

  /** `"level": "error",` on a line of its own. */
  function lookForFields(bytes: Buffer, from: number, to: number) {
    if (bytes[from] !== 0x22) return
    const last = bytes[to - 1] as number
    const line = Buffer.concat([BRACES, bytes.subarray(from, last === 0x2c ? to - 1 : to), BRACES])
    line[0] = 0x7b
    line[line.length - 1] = 0x7d
    if (!readJson(line, 0, line.length)) return
    if (fields.level !== UNKNOWN && stream.level === UNKNOWN) stream.level = fields.level
    if (fields.messageTo > fields.messageFrom && !stream.isErrorText) {
      stream.isErrorText = true
      retitle(line, fields.messageFrom, fields.messageTo, 0)
    }
  }

  /** A line without a time. */
  function other(bytes: Buffer, from: number, to: number, chunkFrom: number, chunkTo: number) {
    if (head.isTimed || bytes[from - 1] === SPACE || bytes[from - 1] === TAB) readHead(bytes, from, to)
    if (!stream.isOpen) return start(bytes, from, to, chunkFrom, chunkTo, shape.shapeOf(bytes, from, to))
    const hasLevel = head.level !== UNKNOWN
    const kind = shape.shapeOf(bytes, from, to)
    if (hasLevel && stream.isBareHead && stream.line === stream.firstLine + 1 && kind === shape.PLAIN) {
      stream.level = head.level
      retitle(bytes, head.text, to, 0)
      return next(chunkTo)
    }
    if (continues(bytes, from, to, kind, hasLevel)) {
      stream.goesOn = endsOpen(bytes[to - 1] as number)
      return next(chunkTo)
    }
    start(bytes, from, to, chunkFrom, chunkTo, kind)
  }

  function continues(bytes: Buffer, from: number, to: number, kind: number, hasLevel: boolean): boolean {
    switch (stream.waitsFor) {
      case REPORT:
        if (kind === shape.BAR) stream.waitsFor = NOTHING
        else if (bytes[from] === SUMMARY && kind === shape.PART) stream.waitsFor = AFTER_SUMMARY
        return true
      case AFTER_SUMMARY:
        if (kind === shape.BAR || bytes[from] === SUMMARY || (kind === shape.PART && bytes[from] === 0x3d)) return true
        stream.waitsFor = NOTHING
        break
      case REPORT_AFTER_BAR:
        stream.waitsFor = NOTHING
        if (kind !== shape.REPORT) break
        stream.waitsFor = REPORT
        stream.level = Math.max(stream.level, bytes[from] === 0x3d ? CRITICAL : ERROR)
        retitle(bytes, from, to, 0)
        return true
      case NEXT_LINE:
        takeTitle(bytes, from, to)
        return true
      case CODE:
        stream.waitsFor = ERROR_AFTER_CODE
        return true
      case ERROR_AFTER_CODE:
        stream.waitsFor = NOTHING
        retitle(bytes, from, to, 0)
        return true
    }
    switch (kind) {
      case shape.CHAIN:
        stream.waitsFor = CHAINED
        return true
      case shape.TRACEBACK:
        return continuesAsTraceback()
      case shape.PART:
      case shape.GOROUTINE:
        if (stream.isRecord) return false
        if (stream.level === UNKNOWN && bytes[from] !== 0x7d && bytes[from] !== 0x7c && bytes[from] !== 0x2b) {
          if (stream.isTimed || kind === shape.GOROUTINE) stream.level = ERROR
        }
        return true
      case shape.CRASH:
      case shape.CRASH_HEAD:
      case shape.GO_PANIC:
      case shape.CODE_PLACE:
      case shape.BAR:
        return false
    }
    if (stream.waitsFor === FRAMES) {
      stream.waitsFor = AFTER_FRAMES
      if (!stream.isTimed) retitle(bytes, from, to, 0)
      return true
    }
    if (stream.isRecord) return false
    if (stream.waitsFor === GO_STACK) return shape.isGoLine(bytes, from, to)
    if (kind === shape.ERROR_TEXT || (head.isSoft && head.level >= ERROR)) {
      if (!stream.isTimed) return false
      if (stream.level === UNKNOWN) stream.level = ERROR
      return true
    }
    if (hasLevel || !stream.isTimed || isLogfmt(bytes, from, to)) return false
    // A program that prints without a logger writes sentences between the lines of one that has it.
    const isOver = stream.lines === 1 && !stream.goesOn && stream.level <= INFO
    return !(isOver && shape.isSentence(bytes, from, to))
  }

  function continuesAsTraceback(): boolean {
    const isBelow =
      stream.waitsFor === CHAINED ||
      (!stream.isRecord &&
        (stream.level >= WARNING || (stream.isTimed && stream.level === UNKNOWN)) &&
        stream.waitsFor !== AFTER_FRAMES &&
        (stream.isTimed || stream.lines === 1))
    if (!isBelow) return false
    if (stream.level === UNKNOWN) stream.level = ERROR
    stream.waitsFor = FRAMES
    return true
  }

  function isLogfmt(bytes: Buffer, from: number, to: number): boolean {
    head.text = from
    readContent(bytes, to)
    return content.isRecord
  }

  function start(bytes: Buffer, from: number, to: number, chunkFrom: number, chunkTo: number, kind: number) {
    end()
    readContent(bytes, to)
    begin(chunkFrom, chunkTo, false)
    stream.goesOn = endsOpen(bytes[to - 1] as number)
    switch (kind) {
      case shape.TRACEBACK:
        stream.waitsFor = bytes[from] === 0x2b ? GROUP_NAME : FRAMES
        stream.level = ERROR
        return
      case shape.GO_PANIC:
        stream.waitsFor = GO_STACK
        stream.level = CRITICAL
        return
      case shape.GOROUTINE:
        stream.waitsFor = GO_STACK
        return
      case shape.CODE_PLACE:
        stream.waitsFor = CODE
        stream.level = ERROR
        return
      case shape.BAR:
        stream.waitsFor = REPORT_AFTER_BAR
        return
      case shape.REPORT:
        stream.waitsFor = REPORT
        stream.level = Math.max(stream.level, ERROR)
        return
      case shape.CRASH_HEAD:
        stream.waitsFor = NEXT_LINE
        stream.level = CRITICAL
        return
      case shape.CRASH:
      case shape.ERROR_TEXT:
        if (stream.level === UNKNOWN) stream.level = Math.max(levelInText(bytes, from, to), ERROR)
        return
    }
    if (bytes[from] === 0x7b) stream.waitsFor = PRETTY_JSON
    else if (isCategory(bytes, from, to)) stream.waitsFor = NEXT_LINE
  }

  // Colours are taken out before anything else looks at a line.
  let plain = Buffer.alloc(0)

  function withoutColours(bytes: Buffer, from: number, to: number): number {
    if (plain.length < to - from) plain = Buffer.alloc((to - from) * 2)
    let out = 0
    for (let at = from; at < to; ) {
      const byte = bytes[at] as number
      if (byte !== ESCAPE) {
        plain[out++] = byte
        at++
        continue
      }
      at++
      if (byteAt(bytes, at, to) !== 0x5b) continue
      at++
      while (at < to && !isLetter(bytes[at] as number)) at++
      at++
    }
    return out
  }

  return {
    read(bytes, severities, writtenMs) {
      const size = bytes.length
      stream.bytes = bytes
      stream.from = stream.to = 0
      const linesBefore = stream.line
      const mayHaveColours = bytes.includes(ESCAPE)
      let at = 0
      for (let index = 0; at < size; index++) {
        let to = bytes.indexOf(NEWLINE, at)
        if (to < 0) to = size
        const following = to + 1
        while (to > at && bytes[to - 1] === RETURN) to--
        stream.line++
        if (to > at) {
          const before = stream.firstLine
          if (mayHaveColours && bytes.subarray(at, to).includes(ESCAPE)) {
            const length = withoutColours(bytes, at, to)
            if (length > 0) line(plain, 0, length, at, to)
          } else line(bytes, at, to, at, to)
          if (stream.firstLine !== before) {
            stream.severity = severities === undefined ? 255 : (severities[index] ?? 255)
            if (writtenMs !== undefined) stream.writtenMs = writtenMs[index] ?? Number.NaN
          }
        }
        at = following
      }
      if (stream.isOpen) keep()
      stream.bytes = NOWHERE
      stream.from = stream.to = 0
      return stream.line - linesBefore
    },
    flush() {
      end()
    },
    get isOpen() {
      return stream.isOpen
    },
  }

  /** The chunk's bytes are gone after this; the message may go on in the next. */
  function keep() {
    const { kept, bytes, from, to } = stream
    const room = keepBytes - (kept?.length ?? 0)
    if (room <= 0 || to <= from) return
    const part = Buffer.from(bytes.subarray(from, Math.min(to, from + room)))
    stream.kept = kept === undefined ? part : Buffer.concat([kept, LINE_END, part])
  }
}

/** `SUMMARY: …` and `Shadow bytes …` */
const SUMMARY = 0x53
const BRACES = Buffer.from('{')
const LINE_END = Buffer.from('\n')

/** `:`, an open bracket, a comma, a backslash, or an operator: there is more to come. */
const endsOpen = (last: number) =>
  last === 0x3a ||
  last === 0x7b ||
  last === 0x28 ||
  last === 0x5b ||
  last === 0x2c ||
  last === 0x5c ||
  last === 0x3d ||
  last === 0x2a ||
  last === 0x2b

/** Up to three names and nothing else, the first one a class: java.util.logging writes the level on the next line. */
function isBare(bytes: Uint8Array, from: number, to: number): boolean {
  let end = from
  while (end < to && (bytes[end] as number) > SPACE && bytes[end] !== 0x2e) end++
  const first = byteAt(bytes, from, to)
  if (byteAt(bytes, end, to) !== 0x2e && !(first >= 0x41 && first <= 0x5a)) return false
  let words = 0
  let at = from
  while (at < to) {
    const byte = bytes[at] as number
    if (byte <= SPACE) {
      at = skipSpace(bytes, at, to)
      continue
    }
    if (++words > 3) return false
    while (at < to && (bytes[at] as number) > SPACE) {
      const inner = bytes[at] as number
      if (
        !isLetter(inner) &&
        !isDigit(inner) &&
        inner !== 0x2e &&
        inner !== 0x24 &&
        inner !== 0x5f &&
        inner !== 0x3c &&
        inner !== 0x3e
      )
        return false
      at++
    }
  }
  return words >= 1
}

/** `info: Microsoft.Hosting.Lifetime[14]`: level, category and event; what happened stands below. */
function isCategory(bytes: Uint8Array, from: number, to: number): boolean {
  if (bytes[to - 1] !== 0x5d) return false
  let at = from
  while (at < to && isLetter(bytes[at] as number)) at++
  if (byteAt(bytes, at, to) !== 0x3a || levelOf(levelWord(bytes, from, at)) === UNKNOWN) return false
  for (at += 2; at < to; at++) if ((bytes[at] as number) <= SPACE) return false
  return true
}
