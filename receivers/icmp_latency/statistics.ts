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
  /** Undefined as long as none has. */
  failed: Map<Failure, number> | undefined
  /** Seconds, of all round trips together. */
  roundTripS: number
  queuedS: number
  readonly buckets: number[]
}

export const newStatistics = (): Statistics => ({
  sent: 0,
  lost: 0,
  late: 0,
  duplicated: 0,
  failed: undefined,
  roundTripS: 0,
  queuedS: 0,
  // A typed array of this size would take three times the memory.
  buckets: Array.from({ length: BOUNDS.length + 1 }, () => 0),
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

/** The last probes of one destination. There are thousands of these, so they hold nothing but what they know. */
export type Recent = {
  /** Seconds, NaN for what was not answered; the oldest first. */
  readonly seconds: number[]
  beforeS: number | undefined
  jitterS: number | undefined
}

export const newRecent = (): Recent => ({ seconds: [], beforeS: undefined, jitterS: undefined })

export function addAnswered(to: Recent, seconds: number): void {
  remember(to, seconds)
  if (to.beforeS !== undefined) {
    const difference = Math.abs(seconds - to.beforeS)
    to.jitterS = to.jitterS === undefined ? difference : to.jitterS + (difference - to.jitterS) / 16
  }
  to.beforeS = seconds
}

export const addUnanswered = (to: Recent): void => remember(to, Number.NaN)

function remember({ seconds: recent }: Recent, seconds: number): void {
  recent.push(seconds)
  if (recent.length > RECENT) recent.shift()
}

/** Median of the last five probes, of those that were answered; undefined when none was. */
export function latencyS({ seconds: recent }: Recent): number | undefined {
  const answered = recent.filter((seconds) => !Number.isNaN(seconds)).sort((a, b) => a - b)
  const middle = answered.length >> 1
  const [low, high] = [answered[answered.length % 2 === 0 ? middle - 1 : middle], answered[middle]]
  return low === undefined || high === undefined ? undefined : (low + high) / 2
}

/**
 * Smoothed difference between one round trip and the next (RFC 3550, 6.4.1); undefined before there were two, and when
 * none of the last five probes was answered.
 */
export const jitterS = ({ seconds: recent, jitterS }: Recent): number | undefined =>
  recent.some((seconds) => !Number.isNaN(seconds)) ? jitterS : undefined
