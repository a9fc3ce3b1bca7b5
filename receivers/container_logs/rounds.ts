// Who is read when: every log is looked at now and then, those that are silent only when the kernel says that something
// happened to them. Those with news take turns, one share each, so that a flood in one keeps nobody waiting. A turn of
// the event loop is never held for long.
import { performance } from 'node:perf_hooks'

export type Readable = {
  /** Looks whether there is something to read. */
  poll(nowMs: number): boolean
  /** Reads one share; answers whether there is more. */
  readShare(): boolean
  /** Calls `wake` when something happens to it. Returns what ends that; undefined where nobody can say. */
  watch(wake: () => void): (() => void) | undefined
  /** It is let go of. */
  readonly finished: boolean
  /** Its first lines, or its next file, are about to come, so it is looked at often. */
  readonly young: boolean
}

export type Rounds = {
  add(log: Readable): void
  /** Of the longest turn in the last minute or two, in milliseconds of CPU: what others run meanwhile does not count. */
  readonly longestTurnMs: number
  stop(): void
}

const TURN_MS = 6
const YOUNG_MS = 25
/** Of one that had more than a share at its last look, so that its rotations are seen in time. */
const BUSY_MS = 100
/** With the grid below nobody waits longer than a second. */
const USUAL_MS = 800
/** Of one that is watched, in case that the kernel had no room to say what happened (IN_Q_OVERFLOW, inotify(7)). */
const WATCHED_MS = 10_000
/** Looks fall on multiples of a part of the wait, so that many logs cost one wake-up. */
const GRIDS = 4

type Entry = {
  readonly log: Readable
  nextMs: number
  waitMs: number
  queued: boolean
  busy: boolean
  /** While the kernel watches it. */
  unwatch: (() => void) | undefined
}

export function startRounds(failed: (error: Error) => void): Rounds {
  const entries = new Set<Entry>()
  const queue: Entry[] = []
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  const longest = longestOfMinutes()
  let dueMs = Number.POSITIVE_INFINITY
  let stopped = false

  /** Those that are not reached in time are due still. */
  function pollDue(startMs: number): void {
    let nowMs = startMs
    dueMs = Number.POSITIVE_INFINITY
    for (const entry of entries) {
      if (entry.nextMs <= startMs && nowMs - startMs < TURN_MS) {
        pollOne(entry, startMs)
        nowMs = performance.now()
      }
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
    if (log.finished) {
      letGo(entry)
      return
    }
    if (hasNews || entry.queued || log.young) unwatch(entry)
    if (log.young) entry.waitMs = YOUNG_MS
    else if (hasNews || entry.queued) entry.waitMs = entry.busy ? BUSY_MS : USUAL_MS
    else entry.waitMs = whenSilent(entry)
    const gridMs = entry.waitMs / GRIDS
    entry.nextMs = Math.ceil((nowMs + entry.waitMs) / gridMs) * gridMs
    if (hasNews && !entry.queued) {
      entry.queued = true
      entry.busy = false
      queue.push(entry)
    }
  }

  function whenSilent(entry: Entry): number {
    if (entry.unwatch !== undefined) return WATCHED_MS
    entry.unwatch = entry.log.watch(() => wake(entry))
    // What happened before the kernel was asked is seen by one more look.
    return USUAL_MS
  }

  function wake(entry: Entry): void {
    unwatch(entry)
    if (!entries.has(entry)) return
    entry.waitMs = USUAL_MS
    entry.nextMs = performance.now()
    soon(entry.nextMs)
  }

  function unwatch(entry: Entry): void {
    entry.unwatch?.()
    entry.unwatch = undefined
  }

  function letGo(entry: Entry): void {
    unwatch(entry)
    entries.delete(entry)
  }

  function soon(nowMs: number): void {
    dueMs = Math.min(dueMs, nowMs)
    if (stopped || immediate !== undefined) return
    clearTimeout(timer)
    immediate = setImmediate(turn)
  }

  function turn(): void {
    immediate = undefined
    clearTimeout(timer)
    const startMs = performance.now()
    const cpuMs = threadMs()
    if (dueMs <= startMs) pollDue(startMs)
    let nowMs = performance.now()
    while (queue.length > 0 && nowMs - startMs < TURN_MS) {
      readOne()
      nowMs = performance.now()
    }
    longest.add(threadMs() - cpuMs)
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
    entry.busy ||= more
    if (more) queue.push(entry)
    else entry.queued = false
  }

  return {
    add(log) {
      const nowMs = performance.now()
      entries.add({ log, nextMs: nowMs, waitMs: USUAL_MS, queued: false, busy: false, unwatch: undefined })
      soon(nowMs)
    },
    get longestTurnMs() {
      return longest.value
    },
    stop() {
      stopped = true
      clearTimeout(timer)
      clearImmediate(immediate)
      for (const entry of entries) letGo(entry)
      queue.length = 0
    },
  }
}

/** What this thread has used. */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The largest value of this minute and the last one. */
function longestOfMinutes() {
  const values = [0, 0]
  let minute = 0
  function turnTo(now: number): void {
    if (now === minute) return
    values.unshift(0)
    values.length = 2
    if (now > minute + 1) values[1] = 0
    minute = now
  }
  return {
    add(value: number): void {
      turnTo(Math.floor(performance.now() / 60_000))
      values[0] = Math.max(values[0] ?? 0, value)
    },
    get value() {
      turnTo(Math.floor(performance.now() / 60_000))
      return Math.max(...values)
    },
  }
}
