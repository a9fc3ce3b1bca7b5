// What containers write, on its way from the receiver that found it to the processors that read it.
// Lines travel as the bytes they are, many at a time; nobody makes a string of them without need.
import type { Cgroup, Node } from './host/host.ts'

/** Who writes: a control group, or the machine itself where its kernel speaks. */
export type LogSubject = Cgroup | Node

/** Where lines come from. One object per stream for as long as it is followed: compare by reference. */
export type LogStream = {
  readonly subject: LogSubject
  /** The peer's label: `stdout/stderr`, `journald`, or the path inside the container, `/var/log/nginx/error.log`. */
  readonly source: string
  /** `stdout` or `stderr` where the runtime keeps them apart. Multi-line messages never cross streams. */
  readonly output?: 'stdout' | 'stderr'
}

export type LogChunk = {
  readonly stream: LogStream
  /** Whole lines, each ended by `\n`, without what the runtime put around them. Any bytes. Valid during the call only. */
  readonly bytes: Buffer
  /** For each line what its runtime says of its severity: syslog's 0 (emergency) to 7 (debug); 255 where it says nothing. */
  readonly severities?: Uint8Array
  /** For each line when it was written, in milliseconds since the epoch; NaN where nobody says. */
  readonly writtenMs?: Float64Array
}

/** Takes chunks at once: when it returns they have been read. A receiver that is too fast is slowed down by it. */
export type LogSink = (chunks: readonly LogChunk[]) => void
