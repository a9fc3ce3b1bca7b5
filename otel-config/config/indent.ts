// Finds where a key was meant to stand that is one level too far out, which is how most mistakes in YAML come about.

/** ` (indent it under x)` when the key is one of x's, else ''. `places`: what may stand under which key. */
export function indentHint(key: string, places: Iterable<readonly [under: string, keys: readonly string[]]>): string {
  for (const [under, keys] of places) if (keys.includes(key)) return ` (indent it under ${under})`
  return ''
}
