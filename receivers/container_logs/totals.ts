// What was read of each container, counted from its first line to the time when its cgroup is forgotten.
import type { Host } from '../host/host.ts'
import type { LogSubject } from '../logs.ts'
import type { Output } from '../receiver.ts'
import type { MetricName } from './metrics.ts'

export type Total = {
  readBytes: number
  /** Lines by output; `''` where outputs are not kept apart. */
  readonly lines: Record<'' | 'stdout' | 'stderr', number>
  skippedBytes: number
  lagBytes: number
}

export type Totals = {
  of(subject: LogSubject, source: string): Total
  record(out: Output<MetricName>): void
}

export function createTotals(host: Host): Totals {
  const totals = new Map<LogSubject, Map<string, Total>>()
  const attributes = interned()

  return {
    of(subject, source) {
      const sources = totals.get(subject) ?? new Map<string, Total>()
      totals.set(subject, sources)
      const total = sources.get(source) ?? newTotal()
      sources.set(source, total)
      return total
    },
    record(out) {
      for (const [subject, sources] of totals) {
        for (const [source, total] of sources) {
          const labels = attributes({ source })
          out.record(subject, 'container.log.read', total.readBytes, labels)
          out.record(subject, 'container.log.skipped', total.skippedBytes, labels)
          out.record(subject, 'container.log.lag', total.lagBytes, labels)
          for (const [output, lines] of Object.entries(total.lines)) {
            if (lines === 0) continue
            const known = output === '' ? labels : attributes({ source, 'log.iostream': output })
            out.record(subject, 'container.log.lines', lines, known)
          }
        }
        if (subject.kind === 'cgroup' && subject.endedMs !== undefined && host.cgroup(subject.id) !== subject) {
          totals.delete(subject)
        }
      }
    },
  }
}

const newTotal = (): Total => ({
  readBytes: 0,
  lines: { '': 0, stdout: 0, stderr: 0 },
  skippedBytes: 0,
  lagBytes: 0,
})

function interned() {
  const known = new Map<string, Readonly<Record<string, string>>>()
  return (attributes: Record<string, string>) => {
    const key = JSON.stringify(attributes)
    const same = known.get(key) ?? Object.freeze(attributes)
    if (known.size > 10_000) known.clear()
    known.set(key, same)
    return same
  }
}
