// The columns of a table: series, and what each subject contributes to them.
// A series is base + the last value of each contributor; contributors of one series form a list.
import { isCumulative, type Metric } from '../receivers/receiver.ts'
import { Cells, Column, Slots } from './columns.ts'
import type { AttributeSet, KnownSubject, LabelSet } from './interning.ts'
import type { Resource } from './processor.ts'

export type Family = {
  readonly id: number
  readonly name: string
  readonly metric: Metric
  /** Slots by label set. */
  readonly series: Map<number, number>
}

/** A receiver, as a source of batches. */
export type Source = {
  readonly index: number
  readonly id: string
  /** Of its last batch, and of the one before. */
  generation: number
  previous: number
  appliedMs: number
}

/** No slot. */
export const NONE = -1

export type Store = ReturnType<typeof createStore>

export function createStore() {
  const seriesSlots = new Slots()
  const family: (Family | undefined)[] = []
  const labels: (LabelSet | undefined)[] = []
  const value = new Column()
  const base = new Column()
  const startMs = new Column()
  const observedMs = new Column()
  const scope = new Column()
  const head = new Column()
  const leftMs = new Column()
  const unsettled = new Column()
  const counts = new Cells()
  const baseCounts = new Cells()
  const delivered = new Column()

  const contributionSlots = new Slots()
  const subject: (KnownSubject | undefined)[] = []
  const attributes: (AttributeSet | undefined)[] = []
  const resource: (Resource | undefined)[] = []
  const source = new Column()
  const series = new Column()
  const last = new Column()
  const offset = new Column()
  const seen = new Column()
  const next = new Column()
  const lastCounts = new Cells()
  const offsetCounts = new Cells()

  /** Walks the contributors and keeps those for which `keep` says so. Returns how many stay. */
  function sweep(slot: number, keep: (contribution: number) => boolean): number {
    let stay = 0
    let previous = NONE
    for (let at = head.get(slot); at !== NONE; ) {
      const following = next.get(at)
      if (keep(at)) {
        previous = at
        stay++
      } else if (previous === NONE) {
        head.set(slot, following)
      } else {
        next.set(previous, following)
      }
      at = following
    }
    return stay
  }

  function link(contribution: number, slot: number) {
    series.set(contribution, slot)
    next.set(contribution, head.get(slot))
    head.set(slot, contribution)
  }

  // Whole numbers: there is nothing to round.
  function settleCounts(slot: number) {
    counts.clear(slot)
    counts.add(slot, baseCounts, slot, 1)
    for (let at = head.get(slot); at !== NONE; at = next.get(at)) {
      counts.add(slot, lastCounts, at, 1)
      counts.add(slot, offsetCounts, at, -1)
    }
  }

  return {
    /** Per series. */
    family,
    labels,
    value,
    /** What contributors that are gone have left, or that was counted before a kernel counter began anew. */
    base,
    startMs,
    observedMs,
    /** Index of the source that made it. */
    scope,
    /** When the last contributor moved to another series. */
    leftMs,
    /** Generation in which it last had to be added up anew. */
    unsettled,
    /** Of histograms, beside `value`. */
    counts,
    /** Generation whose number has arrived where the table's rows are sent. */
    delivered,

    /** Per contribution. */
    subject,
    attributes,
    /** The resource of the last point, to see that it changed. */
    resource,
    source,
    series,
    last,
    /** How much of `last` is counted elsewhere, because it was reported under another series. */
    offset,
    /** Generation of the batch that brought `last`. */
    seen,
    /** First contributor of a series, and the one after a contributor; NONE ends the list. */
    head,
    next,
    lastCounts,

    sweep,
    link,

    addSeries(of: Family, labelSet: LabelSet, scopeIndex: number): number {
      const slot = seriesSlots.take()
      family[slot] = of
      labels[slot] = labelSet
      value.set(slot, 0)
      base.set(slot, 0)
      startMs.set(slot, Number.POSITIVE_INFINITY)
      scope.set(slot, scopeIndex)
      head.set(slot, NONE)
      leftMs.set(slot, Number.NaN)
      unsettled.set(slot, 0)
      delivered.set(slot, 0)
      of.series.set(labelSet.id, slot)
      return slot
    },

    removeSeries(slot: number) {
      const labelSet = labels[slot]
      if (labelSet !== undefined) family[slot]?.series.delete(labelSet.id)
      family[slot] = undefined
      labels[slot] = undefined
      counts.clear(slot)
      baseCounts.clear(slot)
      seriesSlots.giveBack(slot)
    },

    addContribution(of: KnownSubject, attributeSet: AttributeSet, slot: number): number {
      const contribution = contributionSlots.take()
      subject[contribution] = of
      attributes[contribution] = attributeSet
      last.set(contribution, 0)
      offset.set(contribution, 0)
      link(contribution, slot)
      return contribution
    },

    /** After it left its series' list. */
    removeContribution(contribution: number) {
      subject[contribution] = undefined
      attributes[contribution] = undefined
      resource[contribution] = undefined
      lastCounts.clear(contribution)
      offsetCounts.clear(contribution)
      contributionSlots.giveBack(contribution)
    },

    unlink(contribution: number): number {
      return sweep(series.get(contribution), (other) => other !== contribution)
    },

    isAlone(contribution: number): boolean {
      return head.get(series.get(contribution)) === contribution && next.get(contribution) === NONE
    },

    /** What the contributor counted so far goes into the base. It counts on from there, or anew from zero. */
    fold(contribution: number, then: 'on' | 'anew') {
      const slot = series.get(contribution)
      base.set(slot, base.get(slot) + (last.get(contribution) - offset.get(contribution)))
      if (then === 'anew') last.set(contribution, 0)
      offset.set(contribution, last.get(contribution))
      baseCounts.add(slot, lastCounts, contribution, 1)
      baseCounts.add(slot, offsetCounts, contribution, -1)
      if (then === 'anew') lastCounts.clear(contribution)
      offsetCounts.clear(contribution)
      offsetCounts.add(contribution, lastCounts, contribution, 1)
    },

    /** The series got another name: nothing of it changes. */
    inherit(to: number, from: number) {
      base.set(to, base.get(from))
      startMs.set(to, startMs.get(from))
      baseCounts.clear(to)
      baseCounts.add(to, baseCounts, from, 1)
    },

    /**
     * The value from its contributors. Added up anew each time, so that rounding does not pile up; a counter keeps
     * its old value where another order of adding would give a hair less.
     * Of a gauge there is no sum: the subject that was born last speaks.
     */
    settle(slot: number) {
      const kind = family[slot]?.metric.kind
      let sum = base.get(slot)
      let newestMs = Number.NEGATIVE_INFINITY
      for (let at = head.get(slot); at !== NONE; at = next.get(at)) {
        const own = last.get(at) - offset.get(at)
        if (kind !== 'gauge') {
          sum += own
          continue
        }
        const bornMs = subject[at]?.subject.bornMs ?? Number.NEGATIVE_INFINITY
        if (bornMs >= newestMs) {
          newestMs = bornMs
          sum = own
        }
      }
      value.set(slot, isCumulative(kind) ? Math.max(value.get(slot), sum) : sum)
      if (kind === 'histogram') settleCounts(slot)
    },

    /** Slots of contributions ever used; unused ones have no subject. */
    contributionsEnd: () => contributionSlots.end,
  }
}
