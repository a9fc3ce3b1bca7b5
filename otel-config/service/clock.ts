// The one clock: calls what is due, on a fixed grid, so that a late collection does not shift the next ones.
// What was done meanwhile because somebody asked (a scrape collects) is due an interval after that: who scrapes every
// 15 s would otherwise have everything collected twice.

export type Rhythm = {
  readonly intervalMs: number
  readonly delayMs: number
  /** When it was last done, by us or because somebody asked, in milliseconds of the same clock. */
  lastMs?(): number
  /** Everything that is due at the same time is called in the same turn. */
  tick(): void
  /** Ticks that fell behind: they are left out, not made up for. */
  missed(ticks: number): void
}

/** Who asks comes a little late now and then, and is waited for: a tenth of an interval, and no longer than this. */
const PATIENCE_MS = 1_500

/** Starts now; the result stops it. */
export function startClock(rhythms: readonly Rhythm[], now: () => number = () => performance.now()): () => void {
  const startMs = now()
  const waiting = rhythms.map((rhythm) => ({ rhythm, nextMs: startMs + rhythm.delayMs, tickedMs: startMs }))
  let timer: NodeJS.Timeout | undefined

  function wait() {
    const nextMs = Math.min(...waiting.map((one) => one.nextMs))
    // Capped, because Node turns longer waits into 1 ms.
    if (waiting.length > 0) timer = setTimeout(turn, Math.min(Math.max(0, nextMs - now()), 3_600_000))
  }

  function turn() {
    const nowMs = now()
    // Timers may be up to a millisecond early.
    for (const one of waiting.filter(({ nextMs }) => nextMs <= nowMs + 1)) {
      const { intervalMs } = one.rhythm
      const lastMs = one.rhythm.lastMs?.() ?? Number.NEGATIVE_INFINITY
      if (lastMs > one.tickedMs && nowMs + 1 < lastMs + intervalMs) {
        one.nextMs = lastMs + intervalMs + Math.min(intervalMs / 10, PATIENCE_MS)
        continue
      }
      const behind = Math.floor(Math.max(0, nowMs - one.nextMs) / intervalMs)
      if (behind > 0) one.rhythm.missed(behind)
      one.nextMs += (behind + 1) * intervalMs
      one.rhythm.tick()
      one.tickedMs = now()
    }
    wait()
  }

  wait()
  return () => {
    waiting.length = 0
    clearTimeout(timer)
  }
}
