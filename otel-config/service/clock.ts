// The one clock: calls what is due, on a fixed grid, so that a late collection does not shift the next ones.

export type Rhythm = {
  readonly intervalMs: number
  readonly delayMs: number
  /** Everything that is due at the same time is called in the same turn. */
  tick(): void
  /** Ticks that fell behind: they are left out, not made up for. */
  missed(ticks: number): void
}

/** Starts now; the result stops it. */
export function startClock(rhythms: readonly Rhythm[], now: () => number = () => performance.now()): () => void {
  const startMs = now()
  const waiting = rhythms.map((rhythm) => ({ rhythm, nextMs: startMs + rhythm.delayMs }))
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
      const behind = Math.floor(Math.max(0, nowMs - one.nextMs) / intervalMs)
      if (behind > 0) one.rhythm.missed(behind)
      one.nextMs += (behind + 1) * intervalMs
      one.rhythm.tick()
    }
    wait()
  }

  wait()
  return () => {
    waiting.length = 0
    clearTimeout(timer)
  }
}
