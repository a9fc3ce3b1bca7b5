// Who is in a table: its series, and what each subject contributes to them. What comes in takes the label set, the
// attribute set and the subject that it shares with others; what leaves gives them back, and nothing of it is kept.
import { type AttributeSet, internAttributes, internLabels, internSubjects, type View } from './interning.ts'
import type { Point } from './processor.ts'
import type { Family, Store } from './series.ts'

/** A contribution's key is `attribute set × this + family`: a small integer for as long as can be. */
export const MAX_FAMILIES = 4096

type Options = {
  readonly view: View
  readonly maxSeries: number
  /** In bytes of UTF-8. */
  readonly maxLabelBytes: number
}

export function createMembers(store: Store, { view, maxSeries, maxLabelBytes }: Options) {
  const subjects = internSubjects()
  const attributeSets = internAttributes()
  const labelSets = internLabels(view, maxLabelBytes)
  let size = 0

  /** Undefined when there is no room for another one. */
  function seriesOf(point: Point, attributes: AttributeSet, family: Family, scope: number): number | undefined {
    const labels = labelSets.take(point, attributes)
    const known = family.series.get(labels.id)
    if (known === undefined && size < maxSeries) {
      size++
      return store.addSeries(family, labels, scope)
    }
    labelSets.giveBack(labels)
    return known
  }

  return {
    seriesOf,

    contributionOf(point: Point, family: Family): number | undefined {
      const subject = subjects.find(point.subject)
      if (subject === undefined) return undefined
      const attributes = attributeSets.find(point.attributes)
      if (attributes === undefined) return undefined
      return subject.contributions.get(attributes.id * MAX_FAMILIES + family.id)
    },

    /** The contribution of a point that has none yet. Undefined when there is no room for its series. */
    add(point: Point, family: Family, scope: number, collectedMs: number): number | undefined {
      const attributes = attributeSets.take(point.attributes)
      const slot = seriesOf(point, attributes, family, scope)
      if (slot === undefined) {
        attributeSets.giveBack(attributes)
        return undefined
      }
      const subject = subjects.find(point.subject) ?? subjects.add(point.subject)
      const contribution = store.addContribution(subject, attributes, slot)
      subject.contributions.set(attributes.id * MAX_FAMILIES + family.id, contribution)
      store.resource[contribution] = point.resource
      store.startMs.set(slot, Math.min(store.startMs.get(slot), point.subject.bornMs, collectedMs))
      return contribution
    },

    removeSeries(slot: number) {
      const labels = store.labels[slot]
      store.removeSeries(slot)
      if (labels !== undefined) labelSets.giveBack(labels)
      size--
    },

    /** After it left its series' list. */
    removeContribution(contribution: number, family: Family) {
      const subject = store.subject[contribution]
      const attributes = store.attributes[contribution]
      store.removeContribution(contribution)
      if (subject === undefined || attributes === undefined) return
      subject.contributions.delete(attributes.id * MAX_FAMILIES + family.id)
      if (subject.contributions.size === 0) subjects.remove(subject)
      attributeSets.giveBack(attributes)
    },

    endBatch: labelSets.endBatch,

    get size() {
      return size
    },
    /** Label names and values that had to be changed to be valid. */
    get cleaned() {
      return labelSets.changed
    },
  }
}
