// Lines → messages: joins what belongs together, one stream at a time, and reads each message's pattern and level.
// The next line decides where a message ends, never a clock; only the last one waits, until `flush`.
import { endsOpen, isBare, isCategory } from './announces.ts'
import { ESCAPE, isDigit, NEWLINE, RETURN, SPACE, skipSpace, TAB } from './bytes.ts'
import { plain, withoutColours } from './colours.ts'
import { content, levelInText, readContent, readJsonLine, repeatContent } from './content.ts'
import { fields, readJson } from './fields.ts'
import { beginning, head, readHead } from './head.ts'
import { isDumpPart } from './kernel_dump.ts'
import { CRITICAL, ERROR, levelOfSeverity, UNKNOWN } from './levels.ts'
import { mask } from './mask.ts'
import {
  CODE,
  createStream,
  ERROR_AFTER_CODE,
  FRAMES,
  GO_STACK,
  GROUP_NAME,
  type Message,
  NEXT_LINE,
  NOTHING,
  NOWHERE,
  PRETTY_JSON,
  REPORT,
  REPORT_AFTER_BAR,
} from './message.ts'
import { NAMED_TITLE, OTHER, partOf, TITLE } from './parts.ts'
import { findRepeat, keepRepeat, repeat } from './repeats.ts'
import * as shape from './shapes.ts'
import { timeMs } from './time.ts'
import { masked } from './tokens.ts'

export type { Message } from './message.ts'

/** No message takes more lines: a stream that only continues must not become one message for ever. */
const MAX_LINES = 10_000

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

export function createReader({ keepBytes, readsTime = false, onMessage, onText }: ReaderOptions): Reader {
  const stream = createStream()

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
    if (first === 0x5b && stream.isOpen && stream.isTimed && isDumpPart(bytes, from, to, stream.lines > 1)) {
      if (stream.level === UNKNOWN) stream.level = ERROR
      return next(chunkTo)
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
    const line = Buffer.concat([OPEN_BRACE, bytes.subarray(from, last === 0x2c ? to - 1 : to), CLOSE_BRACE])
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
    const kind = shape.shapeOf(bytes, from, to)
    if (!stream.isOpen) return start(bytes, from, to, chunkFrom, chunkTo, kind)
    const hasLevel = head.level !== UNKNOWN
    if (hasLevel && stream.isBareHead && stream.line === stream.firstLine + 1 && kind === shape.PLAIN) {
      stream.level = head.level
      retitle(bytes, head.text, to, 0)
      return next(chunkTo)
    }
    const part = partOf(stream, bytes, from, to, kind, hasLevel)
    if (part === OTHER) return start(bytes, from, to, chunkFrom, chunkTo, kind)
    if (part === TITLE) retitle(bytes, from, to, 0)
    else if (part === NAMED_TITLE) takeTitle(bytes, from, to)
    stream.goesOn = endsOpen(bytes[to - 1] as number)
    next(chunkTo)
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

const OPEN_BRACE = Buffer.from('{')
const CLOSE_BRACE = Buffer.from('}')
const LINE_END = Buffer.from('\n')
