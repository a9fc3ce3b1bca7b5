// How long to wait before the next attempt: exponential with jitter, as the Collector's exporterhelper does it.

export type BackoffSettings = {
  readonly initial_interval: number
  readonly randomization_factor: number
  readonly multiplier: number
  readonly max_interval: number
}

export interface Backoff {
  /** Milliseconds until the next attempt; longer every time. Never less than what the server asked for. */
  next(serverMs?: number): number
  /** After a success. */
  reset(): void
}

/** `random` gives numbers in [0, 1). */
export function createBackoff(settings: BackoffSettings, random: () => number = Math.random): Backoff {
  const { initial_interval: first, randomization_factor: spread, multiplier, max_interval: longest } = settings
  let interval = first
  return {
    next(serverMs = 0) {
      const jittered = interval * (1 + spread * (2 * random() - 1))
      interval = Math.min(interval * multiplier, longest)
      return Math.max(Math.min(jittered, longest), serverMs)
    },
    reset() {
      interval = first
    },
  }
}
