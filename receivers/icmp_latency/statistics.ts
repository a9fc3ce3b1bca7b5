// What the probes of one destination have brought: counts and buckets for each container that talks to it, and the last
// few round trips, which are the destination's own.

/** Upper bounds of the histogram, in seconds: from the same rack to the other side of the world. */
export const BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const

export const FAILURES = ['unreachable', 'prohibited', 'time_exceeded', 'not_permitted', 'other'] as const
export type Failure = (typeof FAILURES)[number]

/** Since the container was first seen to talk to it. They only grow. */
export type Statistics = {
  sent: number
  lost: number
  late: number
  duplicated: number
  readonly failed: Map<Failure, number>
  /** Seconds, of all round trips together. */
  roundTripS: number
  queuedS: number
  readonly buckets: Float64Array
}

export const newStatistics = (): Statistics => ({
  sent: 0,
  lost: 0,
  late: 0,
  duplicated: 0,
  failed: new Map(),
  roundTripS: 0,
  queuedS: 0,
  buckets: new Float64Array(BOUNDS.length + 1),
})

export function addRoundTrip(to: Statistics, seconds: number, queuedS: number): void {
  const bound = BOUNDS.findIndex((upper) => seconds <= upper)
  const bucket = bound < 0 ? BOUNDS.length : bound
  to.buckets[bucket] = (to.buckets[bucket] ?? 0) + 1
  to.roundTripS += seconds
  to.queuedS += queuedS
}

/** As many probes as the present latency looks back on. */
const RECENT = 5

export type Recent = {
  answered(seconds: number): void
  unanswered(): void
  /** Median of the last five probes, of those that were answered; undefined when none was. */
  latencyS(): number | undefined
  /** Smoothed difference between one round trip and the next (RFC 3550, 6.4.1); undefined before there were two. */
  jitterS(): number | undefined
}

export function startRecent(): Recent {
  const recent: number[] = []
  let before: number | undefined
  let jitter: number | undefined

  function remember(seconds: number): void {
    recent.push(seconds)
    if (recent.length > RECENT) recent.shift()
  }

  return {
    answered(seconds) {
      remember(seconds)
      if (before !== undefined) {
        const difference = Math.abs(seconds - before)
        jitter = jitter === undefined ? difference : jitter + (difference - jitter) / 16
      }
      before = seconds
    },
    unanswered: () => remember(Number.NaN),
    latencyS() {
      const answered = recent.filter((seconds) => !Number.isNaN(seconds)).sort((a, b) => a - b)
      const middle = answered.length >> 1
      const [low, high] = [answered[answered.length % 2 === 0 ? middle - 1 : middle], answered[middle]]
      return low === undefined || high === undefined ? undefined : (low + high) / 2
    },
    jitterS: () => (recent.some((seconds) => !Number.isNaN(seconds)) ? jitter : undefined),
  }
}
