// What the receiver tells of the logs themselves; what the lines say, a processor tells.
import type { Metric } from '../receiver.ts'

const counter = (unit: string, description: string, ...attributes: string[]): Metric => ({
  kind: 'counter',
  unit,
  description,
  attributes: ['source', ...attributes],
})

export const metrics = {
  'container.log.read': counter('By', 'Bytes of log lines that were read, without what the runtime puts around them.'),
  'container.log.lines': counter('{line}', 'Log lines that were read.', 'log.iostream'),
  'container.log.skipped': counter(
    'By',
    'Bytes of logs that were left out: reading was too far behind, or they were truncated before they were read.',
  ),
  'container.log.lag': {
    kind: 'updowncounter',
    unit: 'By',
    description: 'Bytes of logs that are written and not read yet.',
    attributes: ['source'],
  },
} as const satisfies Readonly<Record<string, Metric>>

export type MetricName = keyof typeof metrics
