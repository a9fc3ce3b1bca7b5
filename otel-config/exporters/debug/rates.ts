// What every container did per second between two looks, and what it has now.
import type { Batch } from '../../../processors/processor.ts'
import type { Subject } from '../../../receivers/receiver.ts'

/** Numbers of one container by metric name; several subjects and attributes added up. Attributes `kind=full` are left out. */
type Values = Map<string, number>

export type Look = { readonly collectedMs: Map<string, number>; readonly containers: Map<string, Values> }

export const emptyLook = (): Look => ({ collectedMs: new Map(), containers: new Map() })

/** Adds what one receiver brought, once. A look is complete when all of them have. What has ended is not looked at. */
export function addBatch(look: Look, { receiver, collectedMs, points }: Batch): void {
  if (look.collectedMs.has(receiver)) return
  for (const { name, value, attributes, resource, subject } of points) {
    const container = resource?.labels.container_id
    if (container === undefined || attributes.kind === 'full' || hasEnded(subject)) continue
    look.collectedMs.set(name, collectedMs)
    const values = look.containers.get(container) ?? new Map()
    look.containers.set(container, values)
    values.set(name, (values.get(name) ?? 0) + value)
  }
  look.collectedMs.set(receiver, collectedMs)
}

const hasEnded = (subject: Subject): boolean =>
  (subject.kind === 'flow' ? subject.cgroup.endedMs : subject.endedMs) !== undefined

export type Rates = {
  readonly container: string
  /** Growth per second; undefined when it was not in both looks. */
  readonly rate: (name: string) => number | undefined
  readonly now: (name: string) => number | undefined
}

export function ratesBetween(before: Look, after: Look): Rates[] {
  return Array.from(after.containers, ([container, values]) => ({
    container,
    now: (name: string) => values.get(name),
    rate(name: string) {
      const [first, last] = [before.containers.get(container)?.get(name), values.get(name)]
      const seconds = ((after.collectedMs.get(name) ?? 0) - (before.collectedMs.get(name) ?? 0)) / 1000
      return first === undefined || last === undefined || seconds <= 0 ? undefined : Math.max(0, last - first) / seconds
    },
  }))
}
