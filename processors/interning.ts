// One object for each thing that recurs: label sets, point attributes, subjects. What is equal becomes identical,
// so that the table compares numbers and references, and serializers get the same objects every time.
import type { Attributes, Subject } from '../receivers/receiver.ts'
import { Slots } from './columns.ts'
import { cleanLabels, type LabelNames, labelKey } from './labels.ts'
import type { Point, Resource } from './processor.ts'

/** How a point is named: what makes two points the same series. Looks at its subject, resource and attributes only. */
export type View = {
  /** The rules that label names obey. */
  readonly names: LabelNames
  resource(point: Point): Resource
  attributes(point: Point): Attributes
}

/** How one naming sees a series, metric aside. */
export type LabelSet = {
  readonly id: number
  readonly key: string
  readonly resource: Resource
  readonly attributes: Attributes
  /** Series that carry it. */
  uses: number
}

/** Attributes as the receiver gave them. */
export type AttributeSet = {
  readonly id: number
  readonly key: string
  /** Frozen objects that were seen with this content. */
  readonly aliases: Attributes[]
  /** Contributions that carry it. */
  uses: number
}

/** A receiver may have a few modules with equal constants; more than this is one new object per point. */
const MAX_ALIASES = 8

export function internAttributes() {
  const ids = new Slots()
  const byObject = new Map<Attributes, AttributeSet>()
  const byKey = new Map<string, AttributeSet>()

  function find(attributes: Attributes): AttributeSet | undefined {
    const known = byObject.get(attributes)
    if (known !== undefined) return known
    const set = byKey.get(labelKey(attributes, 'otel'))
    if (set !== undefined) remember(set, attributes)
    return set
  }

  // Only a frozen object may stand for its content: another one may say something else tomorrow.
  function remember(set: AttributeSet, attributes: Attributes) {
    if (!Object.isFrozen(attributes)) return
    if (set.aliases.length >= MAX_ALIASES) {
      const oldest = set.aliases.shift()
      if (oldest !== undefined) byObject.delete(oldest)
    }
    set.aliases.push(attributes)
    byObject.set(attributes, set)
  }

  return {
    find,
    take(attributes: Attributes): AttributeSet {
      let set = find(attributes)
      if (set === undefined) {
        set = { id: ids.take(), key: labelKey(attributes, 'otel'), aliases: [], uses: 0 }
        byKey.set(set.key, set)
        remember(set, attributes)
      }
      set.uses++
      return set
    },
    giveBack(set: AttributeSet) {
      if (--set.uses > 0) return
      for (const alias of set.aliases) byObject.delete(alias)
      byKey.delete(set.key)
      ids.giveBack(set.id)
    },
  }
}

/** Label values longer than `maxLabelBytes` of UTF-8 are cut. */
export function internLabels(view: View, maxLabelBytes: number) {
  const ids = new Slots()
  const byKey = new Map<string, LabelSet>()
  const resources = internResources(maxLabelBytes)
  /** Of the subject at hand: its metrics share label sets, and they come one after the other. */
  const recent = new Map<AttributeSet, LabelSet>()
  let recentPoint: Point | undefined
  let changed = 0

  function make(point: Point): LabelSet {
    const resource = resources.take(view.resource(point))
    const clean = cleanLabels(view.attributes(point), view.names, maxLabelBytes)
    const key = `${resource.id}:${clean.key}`
    let set = byKey.get(key)
    if (set === undefined) {
      set = { id: ids.take(), key, resource: resource.resource, attributes: clean.attributes, uses: 0 }
      byKey.set(key, set)
      changed += clean.changed
    } else {
      resources.giveBack(set.resource)
    }
    return set
  }

  return {
    /** Label names and values that had to be changed so far, each counted once per label set. */
    get changed() {
      return changed + resources.changed
    },
    /** `attributes` is the set of the point's attributes. */
    take(point: Point, attributes: AttributeSet): LabelSet {
      if (point.subject !== recentPoint?.subject || point.resource !== recentPoint.resource) recent.clear()
      recentPoint = point
      let set = recent.get(attributes)
      if (set === undefined || set.uses === 0) {
        set = make(point)
        recent.set(attributes, set)
      }
      set.uses++
      return set
    },
    giveBack(set: LabelSet) {
      if (--set.uses > 0) return
      byKey.delete(set.key)
      ids.giveBack(set.id)
      resources.giveBack(set.resource)
    },
    /** A subject may say something else next time. */
    endBatch() {
      recent.clear()
      recentPoint = undefined
    },
  }
}

type InternedResource = { readonly id: number; readonly key: string; readonly resource: Resource; uses: number }

// Two pipelines may describe one container by two equal objects, so content decides, not the reference.
function internResources(maxBytes: number) {
  const ids = new Slots()
  const byKey = new Map<string, InternedResource>()
  const byObject = new Map<Resource, InternedResource>()
  const cleaned = new WeakMap<Resource, { key: string; resource: Resource }>()
  let changed = 0

  function clean(raw: Resource) {
    let result = cleaned.get(raw)
    if (result === undefined) {
      const attributes = cleanLabels(raw.attributes, 'otel', maxBytes)
      const labels = cleanLabels(raw.labels, 'otel', maxBytes)
      changed += attributes.changed
      const resource = { attributes: attributes.attributes, labels: labels.attributes }
      result = {
        key: `${attributes.key}/${labels.key}`,
        resource: attributes.changed + labels.changed > 0 ? resource : raw,
      }
      cleaned.set(raw, result)
    }
    return result
  }

  return {
    get changed() {
      return changed
    },
    take(raw: Resource): InternedResource {
      const { key, resource } = clean(raw)
      let interned = byKey.get(key)
      if (interned === undefined) {
        interned = { id: ids.take(), key, resource, uses: 0 }
        byKey.set(key, interned)
        byObject.set(resource, interned)
      }
      interned.uses++
      return interned
    },
    giveBack(resource: Resource) {
      const interned = byObject.get(resource)
      if (interned === undefined || --interned.uses > 0) return
      byKey.delete(interned.key)
      byObject.delete(interned.resource)
      ids.giveBack(interned.id)
    },
  }
}

export type KnownSubject = {
  /** The newest object that stands for it. */
  subject: Subject
  readonly key: string
  /** By `attribute set × metric`: the contribution. */
  readonly contributions: Map<number, number>
}

function subjectKey(subject: Subject): string {
  if (subject.kind === 'cgroup') return `cgroup:${subject.id}`
  return subject.kind === 'flow' ? `flow:${subject.key}` : subject.kind
}

export function internSubjects() {
  const byObject = new Map<Subject, KnownSubject>()
  const byKey = new Map<string, KnownSubject>()

  return {
    find(subject: Subject): KnownSubject | undefined {
      const same = byObject.get(subject)
      if (same !== undefined) return same
      // The host may have described it anew, after a rename for instance.
      const known = byKey.get(subjectKey(subject))
      if (known === undefined) return undefined
      byObject.delete(known.subject)
      known.subject = subject
      byObject.set(subject, known)
      return known
    },
    add(subject: Subject): KnownSubject {
      const known: KnownSubject = { subject, key: subjectKey(subject), contributions: new Map() }
      byObject.set(subject, known)
      byKey.set(known.key, known)
      return known
    },
    remove(known: KnownSubject) {
      byObject.delete(known.subject)
      byKey.delete(known.key)
    },
  }
}
