// The configuration as it was written: values with the place each of them comes from, so that every complaint can
// say file, line and column, even after several files, --set and ${…} were laid over each other.

export type Place = {
  /** As the user named it: `agent.yaml`, `--set receivers.cgroup.timeout=1`, `env:CONFIG`. */
  readonly source: string
  /** Position among the sources, for sorting. */
  readonly order: number
  /** From 1; absent where the source is one line that the user typed. */
  readonly line?: number
  readonly column?: number
}

type Origin = {
  readonly place: Place
  /** Set when it is what a `${…}` stood for: the expression, and the text before it was read as YAML. */
  readonly from?: { readonly expression: string; readonly text: string }
}

export type Scalar = Origin & { readonly kind: 'scalar'; readonly value: string | number | boolean | null }
export type List = Origin & { readonly kind: 'list'; readonly items: readonly Tree[] }
export type Entry = { readonly keyPlace: Place; readonly value: Tree }
export type Mapping = Origin & { readonly kind: 'map'; readonly entries: ReadonlyMap<string, Entry> }
export type Tree = Scalar | List | Mapping

export const isEmpty = (tree: Tree | undefined): boolean =>
  tree === undefined || (tree.kind === 'scalar' && tree.value === null)

/** The same values without places. Keys such as `__proto__` stay keys. */
export function toPlain(tree: Tree): unknown {
  if (tree.kind === 'scalar') return tree.value
  if (tree.kind === 'list') return tree.items.map(toPlain)
  return Object.fromEntries(Array.from(tree.entries, ([key, entry]) => [key, toPlain(entry.value)]))
}

export type Step = string | number | symbol

/** The value at a path, and the place to point at: its key, or the item itself in a list; as deep as the path exists. */
export function follow(root: Tree, path: readonly Step[]): { tree: Tree | undefined; place: Place } {
  let tree: Tree | undefined = root
  let place = root.place
  for (const step of path) {
    const next: { value: Tree; place: Place } | undefined = childOf(tree, step)
    if (next === undefined) return { tree: undefined, place }
    tree = next.value
    place = next.place
  }
  return { tree, place }
}

function childOf(tree: Tree, step: Step): { value: Tree; place: Place } | undefined {
  if (tree.kind === 'map') {
    const entry = tree.entries.get(String(step))
    return entry && { value: entry.value, place: entry.keyPlace }
  }
  const item = tree.kind === 'list' ? tree.items[Number(step)] : undefined
  return item && { value: item, place: item.place }
}

/** A copy in which the value at a path is another one, or is left out when that is undefined. */
export function replace(tree: Tree, path: readonly Step[], value: Tree | undefined): Tree {
  const [step, ...rest] = path
  if (step === undefined) return value ?? tree
  if (tree.kind === 'map') {
    const entry = tree.entries.get(String(step))
    if (entry === undefined) return tree
    const entries = new Map(tree.entries)
    if (rest.length === 0 && value === undefined) entries.delete(String(step))
    else entries.set(String(step), { ...entry, value: replace(entry.value, rest, value) })
    return { ...tree, entries }
  }
  const item = tree.kind === 'list' ? tree.items[Number(step)] : undefined
  if (tree.kind !== 'list' || item === undefined) return tree
  return { ...tree, items: tree.items.with(Number(step), replace(item, rest, value)) }
}
