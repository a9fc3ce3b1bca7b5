// What the cgroup receiver reports, under names that translate to the peer's.
import type { Metric } from '../receiver.ts'

const seconds = (description: string, attributes: readonly string[] = []): Metric => ({
  kind: 'counter',
  unit: 's',
  description,
  attributes,
})
const bytes = (description: string): Metric => ({ kind: 'updowncounter', unit: 'By', description })
const io = (unit: string, description: string): Metric => ({
  kind: 'counter',
  unit,
  description,
  attributes: ['device'],
})

export const metrics = {
  'container.resources.cpu.usage': seconds('CPU time used.'),
  'container.resources.cpu.limit_cores': {
    kind: 'gauge',
    unit: '{cpu}',
    description: 'CPU limit in cores: the smallest of the container and the groups around it.',
  },
  'container.resources.cpu.throttled': seconds('Time that the container was kept from running by its CPU limit.'),
  'container.resources.cpu.periods': {
    kind: 'counter',
    unit: '{period}',
    description: 'Enforcement periods of the CPU limit in which the container had something to run.',
  },
  'container.resources.cpu.throttled_periods': {
    kind: 'counter',
    unit: '{period}',
    description: 'Enforcement periods in which the container was throttled.',
  },
  'container.resources.cpu.pressure.waiting': seconds('Time in which tasks waited for a CPU (PSI).', ['kind']),
  'container.resources.memory.pressure.waiting': seconds('Time in which tasks waited for memory (PSI).', ['kind']),
  'container.resources.io.pressure.waiting': seconds('Time in which tasks waited for I/O (PSI).', ['kind']),
  'container.resources.memory.limit': bytes('Memory limit: the smallest of the container and the groups around it.'),
  'container.resources.memory.rss': bytes('Anonymous and mapped memory.'),
  'container.resources.memory.cache': bytes('Page cache.'),
  'container.resources.disk.reads': io('{operation}', 'Read operations by device.'),
  'container.resources.disk.writes': io('{operation}', 'Write operations by device.'),
  'container.resources.disk.read': io('By', 'Bytes read by device.'),
  'container.resources.disk.written': io('By', 'Bytes written by device.'),
  'container.oom_kills': {
    kind: 'counter',
    unit: '{kill}',
    description: 'Processes that the kernel killed because memory ran out.',
  },
  'container.resources.pids': { kind: 'updowncounter', unit: '{process}', description: 'Processes and threads.' },
} as const satisfies Readonly<Record<string, Metric>>

export type Name = keyof typeof metrics
