// All logs that are followed, by their keys: added by sources, read in rounds, let go of when they have ended.
import { addTo, type Counts, noCounts } from './counts.ts'
import { createLog, type FoundLog, type Log, type LogContext } from './log.ts'
import { startRounds } from './rounds.ts'

export type Followed = {
  /** One that is followed already is not added again. */
  add(found: FoundLog): void
  has(key: string): boolean
  readonly size: number
  readonly counts: Counts
  readonly refused: number
  /** As Rounds has it. */
  readonly longestTurnMs: number
  stop(): void
}

/** Each holds a descriptor or more. */
const MOST_LOGS = 4000

export function followLogs(context: LogContext): Followed {
  const logs = new Map<string, Log>()
  const past = noCounts()
  let refused = 0
  const rounds = startRounds(context.failed)

  /** What a log counted stays when it is gone. */
  function letGo(log: Log): void {
    if (log.counts) addTo(past, log.counts)
    log.close()
    if (logs.get(log.key) === log) logs.delete(log.key)
  }

  function sweep(): void {
    for (const log of logs.values()) if (log.finished) letGo(log)
  }
  const sweeping = setInterval(sweep, 1000).unref()

  return {
    add(found) {
      const before = logs.get(found.key)
      if (before?.finished) letGo(before)
      else if (before !== undefined) return found.close?.()
      if (logs.size >= MOST_LOGS) {
        refused++
        return found.close?.()
      }
      const log = createLog(found, context)
      logs.set(found.key, log)
      rounds.add(log)
    },
    has: (key) => logs.has(key),
    get size() {
      return logs.size
    },
    get counts() {
      const sum = { ...past }
      for (const { counts } of logs.values()) if (counts) addTo(sum, counts)
      return sum
    },
    get refused() {
      return refused
    },
    get longestTurnMs() {
      return rounds.longestTurnMs
    },
    stop() {
      clearInterval(sweeping)
      rounds.stop()
      for (const log of logs.values()) log.close()
      logs.clear()
    },
  }
}
