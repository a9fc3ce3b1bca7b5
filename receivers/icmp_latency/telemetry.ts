// The receiver's measurements of itself: how much it has to do, how far it is behind, and what it could not use.
import type { Meter } from '@opentelemetry/api'

export type State = {
  readonly targets: number
  readonly sockets: number
  /** By how much the time between two probes of one target is longer than it should be. */
  readonly behindMs: number
  /** Replies that gave no sample, and probes that were none, by reason. They only grow. */
  readonly unused: Readonly<Record<string, number>>
  /** Namespaces that could not be measured from, by reason. They only grow. */
  readonly refused: Readonly<Record<string, number>>
}

/** The result stops it. */
export function startTelemetry(meter: Meter, receiver: string, state: () => State): () => void {
  const attributes = { receiver }
  const targets = meter.createObservableGauge('otelcol_receiver_icmp_targets', {
    description: 'Addresses that are asked, each counted once for each network namespace.',
  })
  const sockets = meter.createObservableGauge('otelcol_receiver_icmp_sockets', {
    description: 'ICMP sockets that are open.',
  })
  const behind = meter.createObservableGauge('otelcol_receiver_icmp_behind', {
    unit: 's',
    description:
      'By how much the time between two probes of one address is longer than probe_interval: more than 0 when the budget is too small.',
  })
  const unused = meter.createObservableCounter('otelcol_receiver_icmp_unused', {
    description: 'Probes and replies that gave no sample, by reason.',
  })
  const refused = meter.createObservableCounter('otelcol_receiver_icmp_refused_namespaces', {
    description: 'Times that a network namespace could not be measured from, by reason.',
  })
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    const now = state()
    result.observe(targets, now.targets, attributes)
    result.observe(sockets, now.sockets, attributes)
    result.observe(behind, now.behindMs / 1000, attributes)
    for (const [reason, times] of Object.entries(now.unused)) result.observe(unused, times, { ...attributes, reason })
    for (const [reason, times] of Object.entries(now.refused)) result.observe(refused, times, { ...attributes, reason })
  }
  const observed = [targets, sockets, behind, unused, refused]
  meter.addBatchObservableCallback(observe, observed)
  return () => meter.removeBatchObservableCallback(observe, observed)
}
