// The receiver's measurements of itself: what was lost, what could be given to nobody, what the kernel does not measure.
import type { Meter } from '@opentelemetry/api'
import { delayNames } from './delays.ts'
import type { Reading } from './source.ts'

export type Telemetry = {
  /** Called after each collection. */
  seen(reading: Reading): void
  /** Delays in nanoseconds whose control group is not known, in the order of `delayNames`. */
  unattributed(ns: ArrayLike<number>): void
  stop(): void
}

export function startTelemetry(meter: Meter, receiver: string, memory: () => number): Telemetry {
  const attributes = { receiver }
  const losses = meter.createObservableCounter('otelcol_receiver_delay_losses', {
    description: 'Times that a delay could not be read or be given to its control group, by cause.',
  })
  const unattributed = meter.createObservableCounter('otelcol_receiver_delay_unattributed', {
    unit: 's',
    description: 'Delays whose control group is not known.',
  })
  const unmeasured = meter.createObservableGauge('otelcol_receiver_delay_unmeasured_tasks', {
    description: 'Living tasks whose disk and memory delays the kernel does not measure.',
  })
  const cgroups = meter.createObservableGauge('otelcol_receiver_delay_cgroups', {
    description: 'Control groups whose delays are kept.',
  })
  const mapMemory = meter.createObservableGauge('otelcol_receiver_bpf_memory', {
    unit: 'By',
    description: 'Kernel memory of BPF maps.',
  })

  let last: Reading = { totals: [], counted: [], losses: {} }
  const dropped = new Float64Array(delayNames.length)
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    for (const [cause, times] of Object.entries(last.losses)) result.observe(losses, times, { ...attributes, cause })
    const nowhere = last.totals.find(({ cgroup }) => cgroup === 0)
    for (const [i, delay] of delayNames.entries()) {
      const ns = (dropped[i] ?? 0) + (nowhere?.ns[i] ?? 0)
      if (ns > 0) result.observe(unattributed, ns / 1e9, { ...attributes, delay })
    }
    result.observe(
      unmeasured,
      last.totals.reduce((sum, totals) => sum + totals.unmeasured, 0),
      attributes,
    )
    result.observe(cgroups, last.totals.length, attributes)
    result.observe(mapMemory, memory(), attributes)
  }
  const observed = [losses, unattributed, unmeasured, cgroups, mapMemory]
  meter.addBatchObservableCallback(observe, observed)

  return {
    seen(reading) {
      last = reading
    },
    unattributed(ns) {
      for (let i = 0; i < dropped.length; i++) dropped[i] = (dropped[i] ?? 0) + (ns[i] ?? 0)
    },
    stop: () => meter.removeBatchObservableCallback(observe, observed),
  }
}
