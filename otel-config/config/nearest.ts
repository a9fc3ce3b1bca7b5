// Finds the name that was probably meant.

/** ` (did you mean x?)` when a candidate is near enough, else ''. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const found = nearest(name, candidates)
  return found === undefined ? '' : ` (did you mean ${found}?)`
}

/** As didYouMean; where nothing is near, all there is, so that nobody has to look elsewhere. */
export function didYouMeanOneOf(name: string, candidates: readonly string[]): string {
  const all = candidates.length === 0 ? ' (there are none here)' : ` (there is: ${candidates.join(', ')})`
  return didYouMean(name, candidates) || all
}

/** The candidate with the fewest edits, if these are no more than a third of its letters. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length > 100) return undefined
  const plain = name.toLowerCase().replaceAll(/[-. ]/g, '_')
  let best: { candidate: string; edits: number } | undefined
  for (const candidate of candidates) {
    if (candidate === name) continue
    const edits = distance(plain, candidate.toLowerCase().replaceAll(/[-. ]/g, '_'))
    if (edits > Math.max(candidate.length, plain.length) / 3) continue
    if (best === undefined || edits < best.edits) best = { candidate, edits }
  }
  return best?.candidate
}

/** Edits (insert, delete, replace, swap of neighbours) between two words. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let edits = Math.min(change, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1)
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, (beforeLast[j - 2] ?? i) + 1)
      row.push(edits)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}
