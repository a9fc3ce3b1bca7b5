// What the checks of a configuration's sections have in common.
import type { Complaint } from './complaints.ts'
import { type Entry, isEmpty, type Mapping, type Tree } from './tree.ts'

/** What checks share: they add what they find, and improve the tree. */
export type Check = {
  tree: Tree
  readonly complain: (entry: Entry, path: readonly string[], message: string) => void
  readonly warn: (entry: Entry, path: readonly string[], message: string) => void
  readonly add: (complaints: readonly Complaint[]) => void
}

export type Section<T = unknown> = {
  /** Every id that is written there, also of bodies that are wrong. */
  readonly ids: ReadonlyMap<string, Entry>
  readonly checked: ReadonlyMap<string, T>
  /** Types that exist. */
  readonly types: readonly string[]
}

export type CheckComponent<D, T> = (state: Check, definition: D, path: readonly string[], entry: Entry) => Understood<T>

type Understood<T> = {
  /** Undefined when there are complaints. */
  readonly value: T | undefined
  readonly body: Tree
}

/** The map at a path of one or two keys; undefined when it is not there, or no map, which is complained of. */
export function mapping(state: Check, path: readonly string[]): Mapping | undefined {
  let entry: Entry = { keyPlace: state.tree.place, value: state.tree }
  for (const key of path) {
    const next = entry.value.kind === 'map' ? entry.value.entries.get(key) : undefined
    if (next === undefined) return undefined
    entry = next
  }
  if (entry.value.kind === 'map') return entry.value
  if (!isEmpty(entry.value)) {
    state.complain(entry, path, `expected a map, got ${entry.value.kind === 'list' ? 'a list' : 'a single value'}`)
  }
  return undefined
}
