// Logs that Docker's daemon writes into files, found through what it tells of its containers.
import type { Host } from '../host/host.ts'
import type { RuntimeLog } from '../host/runtime_logs.ts'
import type { FormatOptions } from './formats/format.ts'
import { FORMATS } from './formats/index.ts'
import type { FoundLog } from './log.ts'
import type { Start } from './start.ts'

export const STDOUT_STDERR = 'stdout/stderr'

type Options = {
  readonly host: Host
  readonly format: FormatOptions
  readonly startAt: 'beginning' | 'end'
  /** Since when an agent is there: what was born later is read from its beginning. */
  readonly sinceMs: number
  readonly found: (log: FoundLog) => void
}

/** Returns what ends it. */
export function findDockerLogs({ host, format, startAt, sinceMs, found }: Options): () => void {
  const { logs } = host
  if (logs === undefined) return () => {}

  function start({ createdMs }: RuntimeLog, bornMs: number): Start {
    if (startAt === 'beginning' || createdMs >= sinceMs) return { at: 'time', sinceMs: 0, whole: true }
    // Of a container that was started again since we are here, what this life wrote.
    return bornMs >= sinceMs ? { at: 'time', sinceMs: bornMs - 1000, whole: false } : { at: 'end' }
  }

  return logs.follow((log) => {
    const make = FORMATS[log.driver]
    if (make === undefined || log.path === '') return
    found({
      key: `docker/${log.id}`,
      path: log.path,
      format: make(format),
      formatName: log.driver,
      source: STDOUT_STDERR,
      outputs: true,
      subject: () => logs.cgroupOf(log.id),
      start: ({ bornMs }) => start(log, bornMs),
    })
  })
}
