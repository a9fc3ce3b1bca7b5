// What a container uses and is allowed, under names whose official translation to Prometheus gives the peer's.
import { pressureMetric } from '../pressure.ts'

const disk = { kind: 'counter', attributes: ['device'] } as const

export const metrics = {
  'container.resources.cpu.usage': {
    kind: 'counter',
    unit: 's',
    description: 'CPU time that the container used.',
  },
  'container.resources.cpu.limit_cores': {
    kind: 'gauge',
    unit: '{cpu}',
    description:
      'CPUs that the container may use at most: the smallest quota of it and of the groups around it, or its CPU set where that is smaller. Absent without a limit.',
  },
  'container.resources.cpu.throttled': {
    kind: 'counter',
    unit: 's',
    description:
      'Time in which the container was held back by a quota, added up over CPUs: its own, and since Linux 6.6 also those of the groups around it.',
  },
  'container.resources.cpu.periods': {
    kind: 'counter',
    unit: '{period}',
    description: 'Periods of its own quota in which the container ran.',
  },
  'container.resources.cpu.throttled_periods': {
    kind: 'counter',
    unit: '{period}',
    description: 'Periods in which the container used up its own quota.',
  },
  'container.resources.cpu.pressure.waiting': pressureMetric('the container', 'a CPU'),
  'container.resources.memory.limit': {
    kind: 'updowncounter',
    unit: 'By',
    description:
      'Memory that the container may use at most: the smallest limit of it and of the groups around it. Absent without a limit.',
  },
  'container.resources.memory.rss': {
    kind: 'updowncounter',
    unit: 'By',
    description: 'Anonymous memory and mapped files.',
  },
  'container.resources.memory.cache': {
    kind: 'updowncounter',
    unit: 'By',
    description: 'Page cache, with mapped files and shared memory.',
  },
  'container.resources.memory.pressure.waiting': pressureMetric('the container', 'memory'),
  'container.resources.io.pressure.waiting': pressureMetric('the container', 'I/O'),
  'container.resources.disk.reads': { ...disk, unit: '{operation}', description: 'Reads that reached the device.' },
  'container.resources.disk.writes': { ...disk, unit: '{operation}', description: 'Writes that reached the device.' },
  'container.resources.disk.read': { ...disk, unit: 'By', description: 'Bytes read from the device.' },
  'container.resources.disk.written': { ...disk, unit: 'By', description: 'Bytes written to the device.' },
  'container.resources.pids': {
    kind: 'updowncounter',
    unit: '{process}',
    description: 'Tasks that count against the limit on process numbers: processes and their threads.',
  },
  'container.oom_kills': {
    kind: 'counter',
    unit: '{kill}',
    description: 'Processes of the container that the kernel killed for want of memory.',
  },
} as const

export type Name = keyof typeof metrics
