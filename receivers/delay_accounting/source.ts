// What both ways of reading delays offer, so that the receiver need not know which of them runs.
import { delayNames } from './delays.ts'

export type Totals = {
  /** Id of the control group; 0 for delays that could be given to none. */
  readonly cgroup: number
  /** In nanoseconds, in the order of `delayNames`. They only grow. */
  readonly ns: ArrayLike<number>
  /** Living tasks (or processes) whose waits for disk and memory the kernel does not measure. */
  readonly unmeasured: number
  /** Those that ended, ever. */
  readonly unmeasuredEnded: number
}

export type Reading = {
  readonly totals: readonly Totals[]
  /** Whether this kernel counts a delay, in the order of `delayNames`. */
  readonly counted: readonly boolean[]
  /** What went wrong so far, by cause. They only grow. */
  readonly losses: Readonly<Record<string, number>>
}

export type DelaySource = {
  /** Brings the totals of all control groups up to now. */
  collect(): Reading
  /** Drops control groups that nobody remembers. */
  forget(cgroups: readonly number[]): void
  /** Kernel memory that we hold, in bytes. */
  memory(): number
  close(): void
}

export const DELAYS = delayNames.length
