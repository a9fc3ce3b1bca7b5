// Pressure stall information: how long tasks stood still for want of a CPU, of memory or of I/O. The kernel writes it
// the same way for the machine (/proc/pressure) and for a cgroup (cpu.pressure, memory.pressure, io.pressure).
import type { Attributes, Metric } from './receiver.ts'

export type Pressure = {
  /** Microseconds in which at least one task waited. */
  readonly someUs: number | undefined
  /** Microseconds in which all tasks that were not idle waited at once. cpu has it since Linux 5.13. */
  readonly fullUs: number | undefined
  /** The first line that is none of the kernel's. */
  readonly junk: string | undefined
}

const LINE = /^(some|full) avg10=\d+\.\d+ avg60=\d+\.\d+ avg300=\d+\.\d+ total=(\d{1,20})$/

/** Documentation/accounting/psi.rst: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, then the same for `full`. */
export function parsePressure(text: string): Pressure {
  const us: { some?: number; full?: number } = {}
  const lines = text.split('\n')
  // What follows the last line break is not a whole line, and its number may have been cut.
  let junk = lines.pop() || undefined
  for (const line of lines) {
    const [, kind, total] = LINE.exec(line) ?? []
    if (kind === 'some' || kind === 'full') us[kind] ??= Number(total)
    else if (line !== '') junk ??= line
  }
  return { someUs: us.some, fullUs: us.full, junk }
}

export const SOME: Attributes = Object.freeze({ kind: 'some' })
export const FULL: Attributes = Object.freeze({ kind: 'full' })

/** The literal of a metric of waiting. `who` and `what` as in "in which tasks of the container waited for memory". */
export const pressureMetric = (who: string, what: string): Metric => ({
  kind: 'counter',
  unit: 's',
  description: `Time in which tasks of ${who} waited for ${what}: at least one of them (some), or all at once (full).`,
  attributes: ['kind'],
})
