// How a count went over time, in a few bars. Memory is fixed: where the time grows, neighbours become one.

const PARTS = 64
const SHOWN = 16
const BARS = '▁▂▃▄▅▆▇█'

export function createCourse() {
  const counts: (Uint32Array | undefined)[] = []
  /** Of one part: milliseconds, or messages where nothing shows a time. */
  let width = 1000
  let begin = Number.NaN
  let at = 0
  let last = 0
  let isTimed = false

  /** Everything moves to the left by halves, until `position` has its place. */
  function fold(position: number) {
    while ((position - begin) / width >= PARTS) {
      width *= 2
      for (const parts of counts) {
        if (parts === undefined) continue
        for (let i = 0; i < PARTS; i++) {
          const twice = i * 2
          parts[i] = twice + 1 < PARTS ? (parts[twice] as number) + (parts[twice + 1] as number) : 0
        }
      }
    }
  }

  return {
    add(entry: number, ms: number) {
      // The first message decides; those without a time then count for the time before them.
      if (Number.isNaN(begin)) {
        isTimed = !Number.isNaN(ms)
        begin = isTimed ? ms : 0
        if (!isTimed) width = 1
      }
      if (!isTimed) at++
      else if (ms >= begin) at = ms
      else if (at < begin) at = begin
      if (at > last) last = at
      fold(at)
      let parts = counts[entry]
      if (parts === undefined) counts[entry] = parts = new Uint32Array(PARTS)
      const part = Math.floor((at - begin) / width)
      parts[part] = (parts[part] as number) + 1
    },
    /** As many bars as there is room for, the highest one full. */
    line(entry: number): string {
      const parts = counts[entry]
      if (parts === undefined) return ' '.repeat(SHOWN)
      const used = Math.floor((last - begin) / width) + 1
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
