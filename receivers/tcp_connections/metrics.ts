// What is reported. Names, labels and meaning of the first ones are the peer's, after the translation for Prometheus.
import type { Metric } from '../receiver.ts'
import { BOUNDS_S } from './totals.ts'

const outbound = ['destination', 'actual_destination', 'netns'] as const
const inbound = ['listen_addr', 'netns'] as const

export const metrics = {
  'container.net.tcp.successful_connects': {
    kind: 'counter',
    unit: '{connection}',
    description:
      'Connections that were dialled and established; also those that were there before the agent, unless `history: false` (on Linux 5.8 to 5.11 these only when they end).',
    attributes: outbound,
  },
  'container.net.tcp.failed_connects': {
    kind: 'counter',
    unit: '{connection}',
    description:
      'Connections that were dialled and never established, for whatever reason. Not those that end before a SYN because there is no route (ENETUNREACH at once): the kernel tells nobody of these.',
    attributes: ['destination', 'netns'],
  },
  'container.net.tcp.connect.failures': {
    kind: 'counter',
    unit: '{connection}',
    description:
      'Failed connects by error.type: refused, timed_out, host_unreachable, net_unreachable, reset, abandoned (the application gave up), no_address (no local port was left), other.',
    attributes: [...outbound, 'error.type'],
  },
  'container.net.tcp.active_connections': {
    kind: 'updowncounter',
    unit: '{connection}',
    description: 'Outbound connections that are open.',
    attributes: outbound,
  },
  'container.net.tcp.connection.time': {
    kind: 'counter',
    unit: 's',
    description: 'Time that handshakes took, from the first SYN to the answer.',
    attributes: outbound,
  },
  'container.net.tcp.retransmits': {
    kind: 'counter',
    unit: '{segment}',
    description: 'Segments that had to be sent again on outbound connections, handshakes included.',
    attributes: outbound,
  },
  'container.net.tcp.bytes_sent': {
    kind: 'counter',
    unit: 'By',
    description: 'Payload sent on outbound connections, each byte once.',
    attributes: outbound,
  },
  'container.net.tcp.bytes_received': {
    kind: 'counter',
    unit: 'By',
    description: 'Payload received on outbound connections.',
    attributes: outbound,
  },
  'container.net.tcp.listen.info': {
    kind: 'updowncounter',
    unit: '{listener}',
    description: 'An address that the container can be reached at. Always 1.',
    attributes: [...inbound, 'proxy'],
  },
  'container.net.tcp.resets': {
    kind: 'counter',
    unit: '{connection}',
    description:
      'Connections that were reset, by who did it: direction is sent or received. Also what came after the end and was refused (once only TIME_WAIT is left, on Linux 6.10 and newer).',
    attributes: [...outbound, ...inbound, 'direction'],
  },
  'container.net.tcp.rtt': {
    kind: 'histogram',
    unit: 's',
    bounds: BOUNDS_S,
    description:
      "TCP's smoothed round-trip times to the destination: one when a connection ends, one per collection while it is in use. Not with `histograms: false`.",
    attributes: outbound,
  },
  'container.net.tcp.connect.duration': {
    kind: 'histogram',
    unit: 's',
    bounds: BOUNDS_S,
    description: 'Time that each handshake took, from the first SYN to the answer. Not with `histograms: false`.',
    attributes: outbound,
  },
  'container.net.tcp.rtt.min': {
    kind: 'gauge',
    unit: 's',
    description: 'Smallest round-trip time that TCP measured to the destination since the last collection.',
    attributes: outbound,
  },
  'container.net.tcp.inbound.accepts': {
    kind: 'counter',
    unit: '{connection}',
    description:
      'Connections that clients established; also those that were there before the agent, unless `history: false` (on Linux 5.8 to 5.11 these only when they end).',
    attributes: inbound,
  },
  'container.net.tcp.inbound.active_connections': {
    kind: 'updowncounter',
    unit: '{connection}',
    description: 'Inbound connections that are open.',
    attributes: inbound,
  },
  'container.net.tcp.inbound.bytes_sent': {
    kind: 'counter',
    unit: 'By',
    description: 'Payload sent on inbound connections, each byte once.',
    attributes: inbound,
  },
  'container.net.tcp.inbound.bytes_received': {
    kind: 'counter',
    unit: 'By',
    description: 'Payload received on inbound connections.',
    attributes: inbound,
  },
  'container.net.tcp.inbound.retransmits': {
    kind: 'counter',
    unit: '{segment}',
    description: 'Segments that had to be sent again on inbound connections.',
    attributes: inbound,
  },
  'container.net.tcp.listen.drops': {
    kind: 'counter',
    unit: '{packet}',
    description:
      "Packets that a listening socket threw away, as `ss` tells in its memory (`d`): nearly always attempts to connect for which its queue was full, each attempt as often as it is repeated; a socket filter's and broken ones are among them.",
    attributes: inbound,
  },
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof metrics
