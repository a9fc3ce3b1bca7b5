// What the machine uses and has, under names whose official translation to Prometheus gives the peer's.
import { pressureMetric } from '../pressure.ts'

const disk = { kind: 'counter', attributes: ['device'] } as const
const net = { kind: 'counter', attributes: ['interface'] } as const
const memory = { kind: 'updowncounter', unit: 'By' } as const

export const metrics = {
  'node.info': {
    kind: 'updowncounter',
    unit: '{node}',
    description: 'The name of the machine and the version of its kernel. Always 1.',
    attributes: ['hostname', 'kernel_version'],
  },
  'node.uptime': { kind: 'gauge', unit: 's', description: 'Time since the machine was booted.' },
  'node.resources.cpu.usage': {
    kind: 'counter',
    unit: 's',
    description:
      'CPU time by mode as /proc/stat has it: sampled at clock ticks, so that tasks which run between ticks seem idle. See node.resources.cpu.busy.',
    attributes: ['mode'],
  },
  'node.resources.cpu.busy': {
    kind: 'counter',
    unit: 's',
    description:
      'CPU time of all tasks as the scheduler measures it, with nothing missed between ticks. Absent where the kernel does not tell: needs the v1 controller cpuacct, or /proc/schedstat.',
  },
  'node.resources.cpu.logical_cores': {
    kind: 'updowncounter',
    unit: '{cpu}',
    description: 'CPUs that are online.',
  },
  'node.resources.memory.total': { ...memory, description: 'Memory of the machine.' },
  'node.resources.memory.free': { ...memory, description: 'Memory that nothing uses.' },
  'node.resources.memory.available': { ...memory, description: 'Memory that can be had without swapping.' },
  'node.resources.memory.cached': { ...memory, description: 'Page cache.' },
  'node.resources.disk.reads': { ...disk, unit: '{operation}', description: 'Reads that the device completed.' },
  'node.resources.disk.writes': { ...disk, unit: '{operation}', description: 'Writes that the device completed.' },
  'node.resources.disk.read': { ...disk, unit: 'By', description: 'Bytes read from the device.' },
  'node.resources.disk.written': { ...disk, unit: 'By', description: 'Bytes written to the device.' },
  'node.resources.disk.read_time': { ...disk, unit: 's', description: 'Time that reads took, added up.' },
  'node.resources.disk.write_time': { ...disk, unit: 's', description: 'Time that writes took, added up.' },
  'node.resources.disk.io_time': { ...disk, unit: 's', description: 'Time in which the device had something to do.' },
  'node.net.received': { ...net, unit: 'By', description: 'Bytes received.' },
  'node.net.transmitted': { ...net, unit: 'By', description: 'Bytes sent.' },
  'node.net.received_packets': { ...net, unit: '{packet}', description: 'Packets received.' },
  'node.net.transmitted_packets': { ...net, unit: '{packet}', description: 'Packets sent.' },
  'node.resources.cpu.pressure.waiting': pressureMetric('the machine', 'a CPU'),
  'node.resources.memory.pressure.waiting': pressureMetric('the machine', 'memory'),
  'node.resources.io.pressure.waiting': pressureMetric('the machine', 'I/O'),
} as const

export type Name = keyof typeof metrics
