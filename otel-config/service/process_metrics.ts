// What the agent itself takes of the machine, in the Collector's names (service/telemetry's documentation.md).
// Where Go's words do not fit, V8's nearest stands in, as the descriptions say.
import type { Meter, ObservableResult } from '@opentelemetry/api'

export function observeProcess(meter: Meter): void {
  const gauge = (name: string, description: string, unit: string, read: () => number) =>
    meter.createObservableGauge(name, { description, unit }).addCallback(observing(read))
  const counter = (name: string, description: string, unit: string, read: () => number) =>
    meter.createObservableCounter(name, { description, unit }).addCallback(observing(read))

  counter('otelcol_process_uptime', 'Time since the start of the process.', 's', () => process.uptime())
  counter('otelcol_process_cpu_seconds', 'CPU time of the process, user and system.', 's', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  gauge('otelcol_process_memory_rss', 'Resident memory of the process.', 'By', () => process.memoryUsage.rss())
  gauge(
    'otelcol_process_runtime_heap_alloc_bytes',
    'Bytes that objects in the V8 heap take.',
    'By',
    () => process.memoryUsage().heapUsed,
  )
  gauge(
    'otelcol_process_runtime_total_sys_memory_bytes',
    'Bytes that V8 has reserved: its heap, and buffers outside of it.',
    'By',
    () => {
      const { heapTotal, external } = process.memoryUsage()
      return heapTotal + external
    },
  )
}

const observing = (read: () => number) => (result: ObservableResult) => result.observe(read())
