// When each target is asked: evenly over time, within a budget in all and for each address, the silent ones more rarely.
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
/**
 * Of the interval. So far before its time a target may be asked: chance says who is next, and the pace says when.
 * Whoever asks steadily what comes and goes steadily would see the same moment of it each time.
 */
const JITTER = 0.2

export function intervalOf(silent: number, intervalMs: number): number {
  if (silent <= PATIENCE) return intervalMs
  return Math.max(intervalMs, Math.min(LONGEST_INTERVAL_MS, intervalMs * 2 ** Math.min(silent - PATIENCE, 20)))
}

export type Schedule = {
  /**
   * Takes what is to be sent from now until `untilMs`, and sets when it is due again. With more targets than the budget
   * allows, all are asked more rarely.
   */
  plan(targets: Iterable<Target>, nowMs: number, untilMs: number): Planned[]
  /** By how much the time between two probes of one target is longer than it should be, because the budget is too small. */
  readonly behindMs: number
}

/** One address, from all namespaces together. */
type Asked = {
  /** Probes per millisecond, if each had its interval. */
  perMs: number
  /** When the next may be sent there. */
  nextMs: number
}

export function createSchedule(settings: ScheduleSettings, random: () => number = Math.random): Schedule {
  const { intervalMs, perSecond, perSecondAndAddress } = settings
  const gapMs = 1000 / perSecond
  const addressGapMs = 1000 / perSecondAndAddress
  const addresses = new Map<string, Asked>()
  /** When the next may be sent to anybody, and to one that was asked before: the pace that spreads them evenly. */
  let nextMs = 0
  let pacedMs = 0
  let behindMs = 0

  function askedOf({ address: { text } }: Target): Asked {
    let asked = addresses.get(text)
    if (asked === undefined) {
      asked = { perMs: 0, nextMs: 0 }
      addresses.set(text, asked)
    }
    return asked
  }

  /** What is due, in order of time, those first that were never asked; and how many are wanted, and possible, per millisecond. */
  function lookAt(targets: Iterable<Target>, untilMs: number) {
    for (const asked of addresses.values()) asked.perMs = 0
    const fresh: Target[] = []
    const known: Target[] = []
    let wantedPerMs = 0
    for (const target of targets) {
      if (target.dueMs < untilMs) (target.isNew ? fresh : known).push(target)
      const perMs = 1 / intervalOf(target.silent, intervalMs)
      askedOf(target).perMs += perMs
      wantedPerMs += perMs
    }
    let possiblePerMs = 0
    for (const { perMs } of addresses.values()) possiblePerMs += Math.min(perMs, 1 / addressGapMs)
    for (const queue of [fresh, known]) queue.sort((a, b) => a.dueMs - b.dueMs)
    return { fresh, known, wantedPerMs, paceMs: Math.max(gapMs, 1 / possiblePerMs) }
  }

  return {
    plan(targets, nowMs, untilMs) {
      const { fresh, known, wantedPerMs, paceMs } = lookAt(targets, untilMs)
      // What was not used is not saved up: no burst after a pause.
      nextMs = Math.max(nextMs, nowMs)
      pacedMs = Math.max(pacedMs, nowMs)
      behindMs = 0

      const planned: Planned[] = []
      for (let [i, k] = [0, 0]; i < fresh.length || k < known.length; ) {
        const freshMs = Math.max(nextMs, fresh[i]?.dueMs ?? Number.POSITIVE_INFINITY)
        const knownMs = Math.max(nextMs, pacedMs, known[k]?.dueMs ?? Number.POSITIVE_INFINITY)
        const atMs = Math.min(freshMs, knownMs)
        const target = freshMs <= knownMs ? fresh[i++] : known[k++]
        if (target === undefined || atMs >= untilMs) break
        const asked = askedOf(target)
        const sendMs = Math.max(atMs, asked.nextMs)
        // It keeps its place in the queue, so that all who ask one address get their turn.
        if (sendMs >= untilMs) continue
        planned.push({ target, afterMs: sendMs - nowMs })
        nextMs = atMs + gapMs
        asked.nextMs = sendMs + addressGapMs
        const ownMs = intervalOf(target.silent, intervalMs)
        const possibleMs = ownMs * Math.max(1, wantedPerMs * gapMs, asked.perMs * addressGapMs)
        behindMs = Math.max(behindMs, possibleMs - ownMs)
        if (target.isNew) {
          // What was found together is asked for the first time together, and then at times of its own; unless the
          // budget has spread it already.
          target.isNew = false
          target.dueMs = sendMs + (possibleMs > ownMs ? possibleMs - ownMs * JITTER * random() : ownMs * random())
        } else {
          pacedMs = atMs + (paceMs > gapMs ? paceMs * (1 - JITTER / 2 + JITTER * random()) : gapMs)
          target.dueMs = sendMs + possibleMs - ownMs * JITTER * random()
        }
        if (target.dueMs < untilMs) insert(known, k, target)
      }
      for (const [text, asked] of addresses) if (asked.perMs === 0 && asked.nextMs <= nowMs) addresses.delete(text)
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
