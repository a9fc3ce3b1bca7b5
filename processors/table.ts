// The source of truth for everything that leaves: cumulative series by metric and label set, one table per naming.
// Not SDK instruments: those export a vanished series for ever, and past 2000 series all others become one.
//
// Several subjects can feed one series (nested cgroups, a container restarted under its name). A contributor that
// ended stays in the sum until it is forgotten and then goes into the base: a counter never goes down, and never
// loses what came last.
import { type Attributes, isCumulative, type Metric } from '../receivers/receiver.ts'
import { createDelivery } from './delivery.ts'
import type { View } from './interning.ts'
import { createMembers, MAX_FAMILIES } from './members.ts'
import type { Batch, Point, Resource } from './processor.ts'
import { createStore, type Family, NONE, type Source } from './series.ts'

export type { View } from './interning.ts'

export type TableOptions = {
  readonly view: View
  /** How long a series stays after the last subject that fed it ended. */
  readonly forgetAfterMs?: number
  readonly maxSeries?: number
  /**
   * Series of the dead that stay until they are delivered, however long that takes. Past this many, those that are
   * forgotten undelivered are counted as lost. 0 when absent.
   */
  readonly maxHeld?: () => number
  /** Longest label value, in bytes of UTF-8. */
  readonly maxLabelBytes?: number
  /** Milliseconds since the epoch. */
  readonly now?: () => number
}

/** Points that were not taken, by reason. */
export type Refusals = {
  /** NaN, infinite, a counter below zero, or a histogram with another number of buckets than its metric. */
  readonly values: number
  /** The table was full. */
  readonly series: number
  /** The metric's name is in use with another kind. */
  readonly kinds: number
  /** A second number for the same subject, metric and attributes. */
  readonly duplicates: number
}

export type Row = {
  readonly name: string
  readonly metric: Metric
  /** Id of the receiver. */
  readonly scope: string
  readonly resource: Resource
  readonly attributes: Attributes
  /** Of a histogram the sum of its measurements. */
  readonly value: number
  /** Of a histogram: measurements in each bucket. Not to be kept: the table goes on with it. */
  readonly counts: Float64Array | undefined
  /** When the earliest subject that feeds it began, in milliseconds since the epoch. */
  readonly startMs: number
  /** When the collection began that last brought a number for it. */
  readonly observedMs: number
}

export type UndeliveredRow = Row & { readonly slot: number }

export interface Table {
  /**
   * Takes over all points. Gauges and updowncounters that this receiver reported before and now does not are gone.
   * Counters are kept as long as their subjects, but not told any more after two batches without them. Points of subjects that ended more than `forgetAfterMs` ago are
   * passed over: what they had to say is counted, or its series is forgotten.
   */
  apply(batch: Batch): void
  /** Drops series whose last subject ended `forgetAfterMs` ago. Returns how many. */
  forget(): number
  /** Series that are held, also counters that are not told at the moment. */
  readonly size: number
  /** Points that were not taken, in all. */
  readonly refused: number
  readonly refusals: Refusals
  /** Label names and values that had to be changed to be valid. */
  readonly cleaned: number
  /** The rows of one metric follow one another. Neither `apply` nor `forget` may run meanwhile. */
  rows(): Iterable<Row>
  /** Rows whose last number has not been delivered, also of counters that are not told at the moment. As `rows`. */
  undelivered(): Iterable<UndeliveredRow>
  /** These slots' numbers, as they were at `generation`, have arrived or are given up. */
  deliver(slots: readonly number[], generation: number): void
  /** Goes up with every batch. */
  readonly generation: number
  /** Series that were forgotten before their last number was delivered, because `maxHeld` were waiting already. */
  readonly lost: number
}

export function createTable(options: TableOptions): Table {
  const { view, forgetAfterMs = 300_000, maxSeries = 1_000_000, maxLabelBytes = 1024, now = Date.now } = options
  const families = new Map<string, Family>()
  const sources: Source[] = []
  const store = createStore()
  const members = createMembers(store, { view, maxSeries, maxLabelBytes })
  const delivery = createDelivery(store, options.maxHeld)
  const refusals = { values: 0, series: 0, kinds: 0, duplicates: 0 }
  /** Series to add up anew at the end of the batch. */
  let unsettled: number[] = []
  let generation = 0

  function sourceOf(id: string): Source {
    let source = sources.find((known) => known.id === id)
    if (source === undefined) {
      source = { index: sources.length, id, generation: 0, previous: 0, appliedMs: 0 }
      sources.push(source)
    }
    return source
  }

  function familyOf(point: Point): Family | undefined {
    let family = families.get(point.name)
    if (family === undefined) {
      if (families.size >= MAX_FAMILIES) return undefined
      family = { id: families.size, name: point.name, metric: point.metric, series: new Map() }
      families.set(point.name, family)
    }
    return family.metric.kind === point.metric.kind ? family : undefined
  }

  const isOver = (endedMs: number | undefined, nowMs: number) =>
    endedMs !== undefined && nowMs - endedMs > forgetAfterMs

  function report(point: Point, source: Source, collectedMs: number, nowMs: number) {
    const { subject, value } = point
    if (!isValid(point)) {
      refusals.values++
      return
    }
    if (isOver(subject.endedMs, nowMs)) return
    const family = familyOf(point)
    if (family === undefined) {
      refusals.kinds++
      return
    }
    const known = members.contributionOf(point, family)
    if (known !== undefined && isTaken(known, source, nowMs)) {
      refusals.duplicates++
      return
    }
    const contribution = known ?? members.add(point, family, source.index, collectedMs)
    if (contribution === undefined || !follow(contribution, point, nowMs)) {
      refusals.series++
      return
    }
    // A kernel's counter that went down began anew.
    if (isCumulative(family.metric.kind) && beganAnew(point, contribution)) store.fold(contribution, 'anew')
    store.last.set(contribution, value)
    if (point.counts !== undefined) store.lastCounts.set(contribution, point.counts)
    store.source.set(contribution, source.index)
    store.seen.set(contribution, generation)
    const slot = store.series.get(contribution)
    store.observedMs.set(slot, collectedMs)
    unsettle(slot)
  }

  function beganAnew({ value, counts }: Point, contribution: number): boolean {
    const before = store.lastCounts.get(contribution)
    return value < store.last.get(contribution) || (before?.some((count, i) => (counts?.[i] ?? 0) < count) ?? false)
  }

  function unsettle(slot: number) {
    if (store.unsettled.get(slot) === generation) return
    store.unsettled.set(slot, generation)
    unsettled.push(slot)
  }

  // Two receivers that read the same counter at different moments would look like a counter that goes down.
  function isTaken(contribution: number, source: Source, nowMs: number): boolean {
    const seen = store.seen.get(contribution)
    const owner = sources[store.source.get(contribution)]
    if (owner === undefined || owner === source) return seen === generation
    return seen === owner.generation && nowMs - owner.appliedMs <= forgetAfterMs
  }

  /**
   * Moves a contribution whose resource changed (a rename, a name that came late) to the series it now belongs to.
   * Alone in the old series and first in the new one, it is the series that got another name. Otherwise the old one
   * keeps what was counted there and the new one counts from now on: no jump, and nothing twice.
   */
  function follow(contribution: number, point: Point, nowMs: number): boolean {
    if (store.resource[contribution] === point.resource) return true
    const from = store.series.get(contribution)
    const family = store.family[from]
    const attributes = store.attributes[contribution]
    if (family === undefined || attributes === undefined) return false
    const sizeBefore = members.size
    const to = members.seriesOf(point, attributes, family, store.scope.get(from))
    if (to === undefined) return false
    store.resource[contribution] = point.resource
    if (to === from) return true

    const isNew = members.size > sizeBefore
    const renamed = isNew && store.isAlone(contribution)
    if (renamed) {
      store.inherit(to, from)
    } else {
      if (isCumulative(family.metric.kind)) store.fold(contribution, 'on')
      if (isNew) store.startMs.set(to, store.observedMs.get(from))
    }
    const others = store.unlink(contribution)
    store.link(contribution, to)
    if (others > 0) unsettle(from)
    else if (renamed || !isCumulative(family.metric.kind)) members.removeSeries(from)
    else {
      store.settle(from)
      store.leftMs.set(from, nowMs)
    }
    return true
  }

  // Absent is better than stale: what the receiver did not say again is not known any more.
  function dropUnreported(source: Source) {
    for (let at = 0; at < store.contributionsEnd(); at++) {
      if (store.source.get(at) !== source.index || store.seen.get(at) === generation) continue
      if (store.subject[at] === undefined) continue
      const slot = store.series.get(at)
      const family = store.family[slot]
      if (family === undefined || isCumulative(family.metric.kind)) continue
      const others = store.unlink(at)
      members.removeContribution(at, family)
      if (others === 0) members.removeSeries(slot)
      else unsettle(slot)
    }
  }

  // A counter that stands still says that nothing happens, which nobody knows who does not look. One batch without it
  // may be chance; and what the dead counted is told until they are forgotten.
  function isSilent(slot: number): boolean {
    let contribution = store.head.get(slot)
    if (contribution === NONE) return false
    for (; contribution !== NONE; contribution = store.next.get(contribution)) {
      if (store.seen.get(contribution) >= (sources[store.source.get(contribution)]?.previous ?? 0)) return false
      if (store.subject[contribution]?.subject.endedMs !== undefined) return false
    }
    return true
  }

  function forgetIn(slot: number, family: Family, nowMs: number): boolean {
    const leaving: number[] = []
    const stay = store.sweep(slot, (contribution) => {
      const over = isOver(store.subject[contribution]?.subject.endedMs, nowMs)
      if (over) leaving.push(contribution)
      return !over
    })
    for (const contribution of leaving) {
      if (isCumulative(family.metric.kind)) store.fold(contribution, 'anew')
      members.removeContribution(contribution, family)
    }
    if (stay > 0) {
      if (leaving.length > 0) store.settle(slot)
      return false
    }
    // Emptied just now, or by a move: then its numbers stay to be seen for as long as those of the dead.
    if (leaving.length === 0 && !(nowMs - store.leftMs.get(slot) > forgetAfterMs)) return false
    if (delivery.isHeld(slot)) {
      if (leaving.length > 0) store.leftMs.set(slot, Number.NEGATIVE_INFINITY)
      return false
    }
    members.removeSeries(slot)
    return true
  }

  function* slots() {
    for (const family of families.values()) yield* family.series.values()
  }

  function row(slot: number): Row {
    const family = store.family[slot]
    const labels = store.labels[slot]
    if (family === undefined || labels === undefined) throw new Error(`no series in slot ${slot}`)
    return {
      name: family.name,
      metric: family.metric,
      scope: sources[store.scope.get(slot)]?.id ?? '',
      resource: labels.resource,
      attributes: labels.attributes,
      value: store.value.get(slot),
      counts: store.counts.get(slot),
      startMs: store.startMs.get(slot),
      observedMs: store.observedMs.get(slot),
    }
  }

  return {
    apply(batch) {
      const nowMs = now()
      const source = sourceOf(batch.receiver)
      source.previous = source.generation
      source.generation = ++generation
      source.appliedMs = nowMs
      for (const point of batch.points) report(point, source, batch.collectedMs, nowMs)
      dropUnreported(source)
      for (const slot of unsettled) store.settle(slot)
      unsettled = []
      members.endBatch()
    },

    forget() {
      const nowMs = now()
      let forgotten = 0
      delivery.recount()
      for (const family of families.values()) {
        for (const slot of family.series.values()) if (forgetIn(slot, family, nowMs)) forgotten++
      }
      return forgotten
    },

    get size() {
      return members.size
    },
    get refused() {
      return refusals.values + refusals.series + refusals.kinds + refusals.duplicates
    },
    refusals,
    get cleaned() {
      return members.cleaned
    },

    *rows() {
      for (const slot of slots()) if (!isSilent(slot)) yield row(slot)
    },

    *undelivered() {
      for (const slot of slots()) if (delivery.isUndelivered(slot)) yield { ...row(slot), slot }
    },
    deliver: delivery.deliver,
    get generation() {
      return generation
    },
    get lost() {
      return delivery.lost
    },
  }
}

function isValid({ value, counts, metric }: Point): boolean {
  if (!Number.isFinite(value) || (value < 0 && isCumulative(metric.kind))) return false
  if (metric.kind !== 'histogram') return true
  return counts?.length === (metric.bounds?.length ?? 0) + 1 && counts.every((count) => count >= 0 && count < Infinity)
}
