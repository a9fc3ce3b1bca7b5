// Lays configurations over each other as the Collector does: maps are merged, lists and scalars are replaced,
// and an empty value wipes the map below it (`processors:` followed by nothing), where `{}` leaves it.
import type { Tree } from './tree.ts'

export function merge(below: Tree, above: Tree): Tree {
  if (below.kind !== 'map' || above.kind !== 'map') return above
  const entries = new Map(below.entries)
  for (const [key, entry] of above.entries) {
    const old = entries.get(key)
    // The key that is pointed at is that of the later file: there the reader has to look first.
    entries.set(key, old === undefined ? entry : { keyPlace: entry.keyPlace, value: merge(old.value, entry.value) })
  }
  return { ...above, place: below.place, entries }
}
