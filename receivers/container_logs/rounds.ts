// Who is read when: every log is looked at now and then, the silent ones seldom, and those with news take turns, one
// share each, so that a flood in one keeps nobody waiting. A turn of the event loop is never held for long.
import { performance } from 'node:perf_hooks'

export type Readable = {
  /** Looks whether there is something to read. */
  poll(nowMs: number): boolean
  /** Reads one share; answers whether there is more. */
  readShare(): boolean
  /** It is let go of. */
  readonly finished: boolean
  /** Its first lines, or its next file, are about to come, so it is looked at often. */
  readonly young: boolean
}

export type Rounds = {
  add(log: Readable): void
  /** How long the longest turn took, in milliseconds. */
  readonly longestTurnMs: number
  stop(): void
}

const TURN_MS = 8
const YOUNG_MS = 25
const ACTIVE_MS = 200
const SILENT_MS = 800

type Entry = { readonly log: Readable; nextMs: number; waitMs: number; queued: boolean }

export function startRounds(failed: (error: Error) => void): Rounds {
  const entries = new Set<Entry>()
  const queue: Entry[] = []
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  let longestTurnMs = 0
  let dueMs = Number.POSITIVE_INFINITY
  let stopped = false

  function pollDue(nowMs: number): void {
    dueMs = Number.POSITIVE_INFINITY
    for (const entry of entries) {
      if (entry.nextMs <= nowMs) pollOne(entry, nowMs)
      dueMs = Math.min(dueMs, entry.nextMs)
    }
  }

  function pollOne(entry: Entry, nowMs: number): void {
    const { log } = entry
    let hasNews = false
    try {
      hasNews = log.poll(Date.now())
    } catch (error) {
      failed(error as Error)
    }
    if (log.finished) entries.delete(entry)
    if (log.young) entry.waitMs = YOUNG_MS
    else if (hasNews || entry.queued) entry.waitMs = ACTIVE_MS
    else entry.waitMs = Math.min(SILENT_MS, Math.max(ACTIVE_MS, entry.waitMs * 2))
    entry.nextMs = nowMs + entry.waitMs
    if (hasNews && !entry.queued) {
      entry.queued = true
      queue.push(entry)
    }
  }

  function turn(): void {
    immediate = undefined
    clearTimeout(timer)
    const startMs = performance.now()
    if (dueMs <= startMs) pollDue(startMs)
    let nowMs = startMs
    while (queue.length > 0 && nowMs - startMs < TURN_MS) {
      readOne()
      nowMs = performance.now()
    }
    longestTurnMs = Math.max(longestTurnMs, nowMs - startMs)
    if (stopped) return
    if (queue.length > 0) immediate = setImmediate(turn)
    else if (dueMs < Number.POSITIVE_INFINITY) timer = setTimeout(turn, Math.max(1, dueMs - nowMs))
  }

  function readOne(): void {
    const entry = queue.shift()
    if (entry === undefined) return
    let more = false
    try {
      more = entry.log.readShare()
    } catch (error) {
      failed(error as Error)
    }
    if (more) queue.push(entry)
    else entry.queued = false
  }

  return {
    add(log) {
      const nowMs = performance.now()
      entries.add({ log, nextMs: nowMs, waitMs: ACTIVE_MS, queued: false })
      dueMs = Math.min(dueMs, nowMs)
      if (stopped || immediate !== undefined) return
      clearTimeout(timer)
      immediate = setImmediate(turn)
    },
    get longestTurnMs() {
      return longestTurnMs
    },
    stop() {
      stopped = true
      clearTimeout(timer)
      clearImmediate(immediate)
      entries.clear()
      queue.length = 0
    },
  }
}
