// When each target is asked: spread over time, within a budget in all and for each address, the silent ones more rarely.
import type { Target } from './target.ts'

export type ScheduleSettings = {
  readonly intervalMs: number
  readonly perSecond: number
  readonly perSecondAndAddress: number
}

export type Planned = { readonly target: Target; readonly afterMs: number }

/** So many probes without an answer are chance; after that each doubles the time to the next. */
const PATIENCE = 3
const LONGEST_INTERVAL_MS = 120_000
/** Of the interval, more or less. */
const JITTER = 0.1

export function intervalOf(silent: number, intervalMs: number): number {
  const backedOff = intervalMs * 2 ** Math.max(0, Math.min(silent - PATIENCE, 20))
  return Math.max(intervalMs, Math.min(LONGEST_INTERVAL_MS, backedOff))
}

export type Schedule = {
  /**
   * Takes what is to be sent from now until `untilMs`, and sets when it is due again. What the budget does not allow
   * stays due and comes first next time: with too many targets all are asked more rarely.
   */
  plan(targets: Iterable<Target>, nowMs: number, untilMs: number): Planned[]
  /** How far the last plan was behind: milliseconds that the target which waited longest had been due. */
  readonly behindMs: number
}

export function createSchedule(settings: ScheduleSettings, random: () => number = Math.random): Schedule {
  const { intervalMs, perSecond, perSecondAndAddress } = settings
  const gapMs = 1000 / perSecond
  const addressGapMs = 1000 / perSecondAndAddress
  /** When the next may be sent, to anybody and to one address. */
  let nextMs = 0
  const addressNextMs = new Map<string, number>()
  let behindMs = 0

  function forget(nowMs: number): void {
    for (const [address, ms] of addressNextMs) if (ms <= nowMs) addressNextMs.delete(address)
  }

  return {
    plan(targets, nowMs, untilMs) {
      forget(nowMs)
      const due: Target[] = []
      for (const target of targets) if (target.dueMs < untilMs) due.push(target)
      due.sort((a, b) => a.dueMs - b.dueMs)
      behindMs = Math.max(0, nowMs - (due[0]?.dueMs ?? nowMs))
      // What was not used is not saved up: no burst after a pause.
      nextMs = Math.max(nextMs, nowMs)

      const planned: Planned[] = []
      for (const [i, target] of due.entries()) {
        if (nextMs >= untilMs) break
        const { text } = target.address
        const atMs = Math.max(target.dueMs, nextMs)
        const addressMs = addressNextMs.get(text) ?? 0
        // It keeps its place in the queue, so that all who ask one address get their turn.
        if (addressMs >= untilMs) continue
        const sendMs = Math.max(atMs, addressMs)
        planned.push({ target, afterMs: sendMs - nowMs })
        nextMs = Math.max(nextMs, atMs) + gapMs
        addressNextMs.set(text, sendMs + addressGapMs)
        // What was found together is asked for the first time together, and then at times of its own.
        const factor = target.isNew ? random() : 1 - JITTER + 2 * JITTER * random()
        target.isNew = false
        target.dueMs = sendMs + intervalOf(target.silent, intervalMs) * factor
        if (target.dueMs < untilMs) insert(due, i + 1, target)
      }
      return planned
    },
    get behindMs() {
      return behindMs
    },
  }
}

/** Keeps the order in time; the walk over the list comes to it later. */
function insert(due: Target[], from: number, target: Target): void {
  const at = due.findIndex(({ dueMs }, i) => i >= from && dueMs > target.dueMs)
  due.splice(at < 0 ? due.length : at, 0, target)
}
