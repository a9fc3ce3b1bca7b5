// A stream of lines and the message that is open in it.
import { UNKNOWN } from './levels.ts'

/** What the open message waits for. */
export const NOTHING = 0
/** Python: indented frames, then the line that says what went wrong. */
export const FRAMES = 1
export const AFTER_FRAMES = 2
/** Between two tracebacks. */
export const CHAINED = 3
export const GO_STACK = 4
/** Node: the line of code, then the error. */
export const CODE = 5
export const ERROR_AFTER_CODE = 6
export const REPORT_AFTER_BAR = 7
/** A sanitizer's report, up to its closing bar. */
export const REPORT = 8
/** The message is on the next line. */
export const NEXT_LINE = 9
/** A JSON object over many lines. */
export const PRETTY_JSON = 10
/** A sanitizer's report after its summary: only what is indented or marked still belongs to it. */
export const AFTER_SUMMARY = 11
/** Python's exception group: its name stands behind the first bar that no space follows. */
export const GROUP_NAME = 12

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

export type Stream = Message & {
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

/** The bytes of no chunk. */
export const NOWHERE: Buffer = Buffer.alloc(0)

export const createStream = (): Stream => ({
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
})
