// How a log file's bytes become lines: one interface for every format.
import type { Decoded } from '../lines.ts'

/** Decodes one log, in order. It may hold the beginning of a line whose rest is in a later record. */
export interface Format {
  /** Whether its records tell when they were written. */
  readonly timed: boolean
  /** Whether NUL bytes at the beginning of a file are a hole, which a truncation leaves, and no record. */
  readonly isText: boolean
  /**
   * Takes whole records from the front of `bytes` and puts the lines that end in them into `into`. `at` is where
   * `bytes` begins in the file. Answers how many bytes it took; 0 when not even one record is whole.
   */
  decode(bytes: Buffer, at: number, into: Decoded): number
  /** Where in the file the earliest record begins whose line has not ended; undefined when there is none. */
  heldFrom(): number | undefined
  /** A record of which no more will come, because its file has ended or is silent: takes of it what there is. */
  rest(bytes: Buffer, into: Decoded): void
  /** What is held of lines becomes lines. */
  flush(into: Decoded): void
  /** The file goes on as another one, at its beginning: what is held began before that. */
  nextFile(): void
  /** Forgets what is held. */
  reset(): void
  /** Where the first record begins at or after `from`; -1 when it is not in there. For starts inside a file. */
  boundary(bytes: Buffer, from: number): number
}

export type FormatOptions = {
  /** Longer lines are cut there, and what is cut is counted. */
  readonly maxLineBytes: number
}
