// Whether a line without a time of its own belongs to the message above it.
import { content, readContent } from './content.ts'
import { head } from './head.ts'
import { CRITICAL, ERROR, INFO, UNKNOWN, WARNING } from './levels.ts'
import {
  AFTER_FRAMES,
  AFTER_SUMMARY,
  CHAINED,
  CODE,
  ERROR_AFTER_CODE,
  FRAMES,
  GO_STACK,
  NEXT_LINE,
  NOTHING,
  REPORT,
  REPORT_AFTER_BAR,
  type Stream,
} from './message.ts'
import * as shape from './shapes.ts'

/** It begins a message of its own. */
export const OTHER = 0
export const PART = 1
/** It is a part, and says what the message is about. */
export const TITLE = 2
/** The same, under the name that the line above gave. */
export const NAMED_TITLE = 3

/** `SUMMARY: …` and `Shadow bytes …` */
const SUMMARY = 0x53

/** One of the above. `kind` is the line's shape, `hasLevel` whether its head has a level; notes what `stream` waits for. */
export function partOf(
  stream: Stream,
  bytes: Buffer,
  from: number,
  to: number,
  kind: number,
  hasLevel: boolean,
): number {
  switch (stream.waitsFor) {
    case REPORT:
      if (kind === shape.BAR) stream.waitsFor = NOTHING
      else if (bytes[from] === SUMMARY && kind === shape.PART) stream.waitsFor = AFTER_SUMMARY
      return PART
    case AFTER_SUMMARY:
      if (kind === shape.BAR || bytes[from] === SUMMARY || (kind === shape.PART && bytes[from] === 0x3d)) return PART
      stream.waitsFor = NOTHING
      break
    case REPORT_AFTER_BAR:
      stream.waitsFor = NOTHING
      if (kind !== shape.REPORT) break
      stream.waitsFor = REPORT
      stream.level = Math.max(stream.level, bytes[from] === 0x3d ? CRITICAL : ERROR)
      return TITLE
    case NEXT_LINE:
      return NAMED_TITLE
    case CODE:
      stream.waitsFor = ERROR_AFTER_CODE
      return PART
    case ERROR_AFTER_CODE:
      stream.waitsFor = NOTHING
      return TITLE
  }
  switch (kind) {
    case shape.CHAIN:
      stream.waitsFor = CHAINED
      return PART
    case shape.TRACEBACK:
      return continuesAsTraceback(stream) ? PART : OTHER
    case shape.PART:
    case shape.GOROUTINE:
      if (stream.isRecord) return OTHER
      if (stream.level === UNKNOWN && bytes[from] !== 0x7d && bytes[from] !== 0x7c && bytes[from] !== 0x2b) {
        if (stream.isTimed || kind === shape.GOROUTINE) stream.level = ERROR
      }
      return PART
    case shape.CRASH:
    case shape.CRASH_HEAD:
    case shape.GO_PANIC:
    case shape.CODE_PLACE:
    case shape.BAR:
      return OTHER
  }
  if (stream.waitsFor === FRAMES) {
    stream.waitsFor = AFTER_FRAMES
    return stream.isTimed ? PART : TITLE
  }
  if (stream.isRecord) return OTHER
  if (stream.waitsFor === GO_STACK) return shape.isGoLine(bytes, from, to) ? PART : OTHER
  if (kind === shape.ERROR_TEXT || (head.isSoft && head.level >= ERROR)) {
    if (!stream.isTimed) return OTHER
    if (stream.level === UNKNOWN) stream.level = ERROR
    return PART
  }
  if (hasLevel || !stream.isTimed || isLogfmt(bytes, from, to)) return OTHER
  // A program that prints without a logger writes sentences between the lines of one that has it.
  const isOver = stream.lines === 1 && !stream.goesOn && stream.level <= INFO
  return isOver && shape.isSentence(bytes, from, to) ? OTHER : PART
}

function continuesAsTraceback(stream: Stream): boolean {
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
