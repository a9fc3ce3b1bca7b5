// How a count went over time, in a few bars. Memory is fixed: where the time grows, to either side, neighbours become one.

const PARTS = 64
const SHOWN = 16
const BARS = '▁▂▃▄▅▆▇█'
const SECOND_MS = 1000

export function createCourse() {
  const byTime = createParts(SECOND_MS)
  /** Message by message: what is shown as long as none has told its time. */
  let byOrder: Parts | undefined = createParts(1)
  let messages = 0

  return {
    /**
     * One for what is read in a row, a file or a stream of it. A message without a time counts for the time before it
     * in the same one, and before the first for that. Where a file has no time at all but another has, its messages
     * are counted and in no course: anywhere would be a guess.
     */
    stream() {
      let at = Number.NaN
      /** Counts by entry, for the first time. */
      let waiting: number[] = []
      return {
        /** Of each message, NaN for none; also of one that is not counted. */
        noteTime(ms: number) {
          if (Number.isNaN(ms)) return
          at = Math.floor(ms)
          if (waiting.length === 0) return
          waiting.forEach((count, entry) => void byTime.add(entry, at, count))
          waiting = []
          byOrder = undefined
        },
        /** Of a message whose time was noted. */
        add(entry: number) {
          if (!Number.isNaN(at)) {
            byOrder = undefined
            byTime.add(entry, at, 1)
            return
          }
          waiting[entry] = (waiting[entry] ?? 0) + 1
          byOrder?.add(entry, messages++, 1)
        },
      }
    },
    /** As many bars as there is room for, the highest one full. */
    line: (entry: number): string => (byOrder ?? byTime).line(entry),
  }
}

type Parts = ReturnType<typeof createParts>

/** Counts by entry, in neighbouring parts of one width: together they reach from the first position to the last. */
function createParts(firstWidth: number) {
  const counts: (Uint32Array | undefined)[] = []
  let width = firstWidth
  let begin = Number.NaN
  let last = 0

  /** Of two neighbours one is made, from `begin` on. */
  function halve() {
    width *= 2
    for (const parts of counts) {
      if (parts === undefined) continue
      for (let i = 0; i < PARTS; i++) {
        const twice = i * 2
        parts[i] = twice + 1 < PARTS ? (parts[twice] as number) + (parts[twice + 1] as number) : 0
      }
    }
  }

  const partOf = (position: number) => Math.floor((position - begin) / width)

  /** Everything moves to the right by whole parts, so that each count stays with its neighbours. */
  function beginBefore(position: number) {
    while (partOf(last) - partOf(position) >= PARTS) halve()
    const by = -partOf(position)
    begin -= by * width
    for (const parts of counts) parts?.copyWithin(by, 0).fill(0, 0, by)
  }

  return {
    /** A whole number: no count falls between two parts. */
    add(entry: number, position: number, count: number) {
      if (Number.isNaN(begin)) begin = last = position
      if (position < begin) beginBefore(position)
      else if (position > last) {
        last = position
        while (partOf(last) >= PARTS) halve()
      }
      let parts = counts[entry]
      if (parts === undefined) counts[entry] = parts = new Uint32Array(PARTS)
      const part = partOf(position)
      parts[part] = (parts[part] as number) + count
    },
    line(entry: number): string {
      const parts = counts[entry]
      if (parts === undefined) return ' '.repeat(SHOWN)
      const used = partOf(last) + 1
      const bars = Math.min(SHOWN, used)
      const sums = Array.from({ length: bars }, () => 0)
      for (let i = 0; i < used; i++) {
        const bar = Math.floor((i * bars) / used)
        sums[bar] = (sums[bar] as number) + (parts[i] as number)
      }
      const most = Math.max(...sums)
      const drawn = sums.map((sum) => (sum === 0 ? ' ' : (BARS[Math.ceil((sum / most) * 8) - 1] ?? ' ')))
      return drawn.join('').padEnd(SHOWN)
    },
  }
}
