// How far it is, under names whose official translation to Prometheus gives the peer's.
import { BOUNDS } from './statistics.ts'

const each = { attributes: ['destination_ip'] } as const

export const metrics = {
  'container.net.latency': {
    ...each,
    kind: 'gauge',
    unit: 's',
    description:
      'Round-trip time by ICMP echo from the network namespace of the container, timed by the kernel: the median of the last five probes. Absent when none of them was answered.',
  },
  'container.net.latency.jitter': {
    ...each,
    kind: 'gauge',
    unit: 's',
    description: 'Smoothed difference between one round trip and the next (RFC 3550).',
  },
  'container.net.latency.tcp': {
    ...each,
    kind: 'gauge',
    unit: 's',
    description:
      'Smoothed round-trip time that TCP has measured on a connection to it, also where ICMP is not answered. It includes what the other end waits before it acknowledges.',
  },
  'container.net.round_trip': {
    ...each,
    kind: 'histogram',
    unit: 's',
    bounds: BOUNDS,
    description: 'Round trips by ICMP echo.',
  },
  'container.net.probes.sent': {
    ...each,
    kind: 'counter',
    unit: '{probe}',
    description: 'Probes sent, also those whose sending failed.',
  },
  'container.net.probes.lost': {
    ...each,
    kind: 'counter',
    unit: '{probe}',
    description: 'Probes that were not answered in time, for whatever reason.',
  },
  'container.net.probes.late': {
    ...each,
    kind: 'counter',
    unit: '{probe}',
    description: 'Of the lost ones those that were answered after all, within ten seconds more.',
  },
  'container.net.probes.duplicated': {
    ...each,
    kind: 'counter',
    unit: '{reply}',
    description: 'Replies beyond the first to one probe.',
  },
  'container.net.probes.failed': {
    kind: 'counter',
    unit: '{probe}',
    attributes: ['destination_ip', 'error_type'],
    description:
      'Of the lost ones those of which the kernel or a router said why: unreachable, prohibited, time_exceeded, not_permitted (a local firewall), other.',
  },
  'container.net.probes.queued': {
    ...each,
    kind: 'counter',
    unit: 's',
    description:
      "Time that probes spent in the machine's own queues before the driver got them; a part of the round-trip time.",
  },
} as const

export type Name = keyof typeof metrics
