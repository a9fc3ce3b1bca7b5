// Flows as data points.
import type { Attributes, Output } from '../receiver.ts'
import type { TcpFlow } from './flows.ts'
import type { MetricName } from './metrics.ts'
import {
  BUCKETS,
  CONNECT_NS,
  CONNECT_TIMES,
  CONNECTS,
  FAILED,
  FAILURES,
  RECEIVED,
  RESETS_RECEIVED,
  RESETS_SENT,
  RETRANSMITS,
  RTT_US,
  RTTS,
  SENT,
} from './totals.ts'

export type Out = Output<MetricName>

/** What can be told of it without BPF: nothing that has to be seen when it happens. */
export type Known = { readonly connects: boolean; readonly resets: boolean; readonly bytes: boolean }

export function report(flow: TcpFlow, out: Out, known: Known, histograms: boolean): void {
  if (flow.incoming) reportInbound(flow, out, known)
  else {
    reportOutbound(flow, out, known)
    if (histograms) reportTimes(flow, out)
  }
  if (known.resets) reportResets(flow, out)
}

function reportOutbound(flow: TcpFlow, out: Out, known: Known): void {
  const { sums, attributes } = flow
  const at = (place: number) => sums[place] ?? 0
  const connects = at(CONNECTS)
  const isKnown = connects > 0 || flow.active > 0 || at(SENT) + at(RECEIVED) > 0
  if (isKnown) {
    if (known.connects) {
      out.record(flow, 'container.net.tcp.successful_connects', connects, attributes)
      out.record(flow, 'container.net.tcp.connection.time', at(CONNECT_NS) / 1e9, attributes)
    }
    out.record(flow, 'container.net.tcp.active_connections', flow.active, attributes)
    if (known.bytes) {
      out.record(flow, 'container.net.tcp.bytes_sent', at(SENT), attributes)
      out.record(flow, 'container.net.tcp.bytes_received', at(RECEIVED), attributes)
    }
  }
  if (known.bytes && (isKnown || at(RETRANSMITS) > 0)) {
    out.record(flow, 'container.net.tcp.retransmits', at(RETRANSMITS), attributes)
  }
  if (flow.minRttUs !== undefined) out.record(flow, 'container.net.tcp.rtt.min', flow.minRttUs / 1e6, attributes)
  let failed = 0
  for (const [i, failure] of FAILURES.entries()) {
    const times = at(FAILED + i)
    failed += times
    if (times === 0) continue
    out.record(flow, 'container.net.tcp.connect.failures', times, extended(attributes, 'error.type', failure))
  }
  if (failed > 0) out.record(flow, 'container.net.tcp.failed_connects', failed, attributes)
}

function reportTimes(flow: TcpFlow, out: Out): void {
  const { sums, attributes } = flow
  for (const [name, first, sum] of [
    ['container.net.tcp.rtt', RTTS, (sums[RTT_US] ?? 0) / 1e6],
    ['container.net.tcp.connect.duration', CONNECT_TIMES, (sums[CONNECT_NS] ?? 0) / 1e9],
  ] as const) {
    const counts = sums.subarray(first, first + BUCKETS)
    if (counts.some((count) => count > 0)) out.distribution(flow, name, sum, counts, attributes)
  }
}

function reportInbound(flow: TcpFlow, out: Out, known: Known): void {
  const { sums, attributes } = flow
  if (known.connects) out.record(flow, 'container.net.tcp.inbound.accepts', sums[CONNECTS] ?? 0, attributes)
  out.record(flow, 'container.net.tcp.inbound.active_connections', flow.active, attributes)
  if (!known.bytes) return
  out.record(flow, 'container.net.tcp.inbound.bytes_sent', sums[SENT] ?? 0, attributes)
  out.record(flow, 'container.net.tcp.inbound.bytes_received', sums[RECEIVED] ?? 0, attributes)
  out.record(flow, 'container.net.tcp.inbound.retransmits', sums[RETRANSMITS] ?? 0, attributes)
}

function reportResets(flow: TcpFlow, out: Out): void {
  const { sums, attributes } = flow
  const sent = sums[RESETS_SENT] ?? 0
  const received = sums[RESETS_RECEIVED] ?? 0
  if (sent > 0) out.record(flow, 'container.net.tcp.resets', sent, extended(attributes, 'direction', 'sent'))
  if (received > 0)
    out.record(flow, 'container.net.tcp.resets', received, extended(attributes, 'direction', 'received'))
}

const extensions = new WeakMap<Attributes, Map<string, Attributes>>()

/** The same frozen object each time. */
export function extended(attributes: Attributes, key: string, value: string): Attributes {
  let known = extensions.get(attributes)
  if (known === undefined) {
    known = new Map()
    extensions.set(attributes, known)
  }
  const name = `${key} ${value}`
  let made = known.get(name)
  if (made === undefined) {
    made = Object.freeze({ ...attributes, [key]: value })
    known.set(name, made)
  }
  return made
}
