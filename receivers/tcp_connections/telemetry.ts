// The receiver's measurements of itself: what was lost or folded, how full its tables are, what they cost.
import type { Meter } from '@opentelemetry/api'

export type Figures = {
  /** Since the start, by cause. */
  readonly losses: Readonly<Record<string, number>>
  /** Entries now, by table. */
  readonly entries: Readonly<Record<string, number>>
  readonly memoryBytes: number
}

/** Returns what stops it. */
export function startTelemetry(meter: Meter, receiver: string, figures: () => Figures): () => void {
  const losses = meter.createObservableCounter('otelcol_receiver_tcp_losses', {
    description: 'Times that something about a connection could not be kept or told apart, by cause.',
  })
  const entries = meter.createObservableGauge('otelcol_receiver_tcp_entries', {
    description: 'Entries of the tables that connections are counted in.',
  })
  const memory = meter.createObservableGauge('otelcol_receiver_bpf_memory', {
    unit: 'By',
    description: 'Kernel memory of BPF maps.',
  })
  const instruments = [losses, entries, memory]
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    const now = figures()
    for (const [cause, times] of Object.entries(now.losses)) result.observe(losses, times, { receiver, cause })
    for (const [table, size] of Object.entries(now.entries)) result.observe(entries, size, { receiver, table })
    result.observe(memory, now.memoryBytes, { receiver })
  }
  meter.addBatchObservableCallback(observe, instruments)
  return () => meter.removeBatchObservableCallback(observe, instruments)
}
