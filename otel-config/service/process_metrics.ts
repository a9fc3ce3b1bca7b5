// What the agent itself takes of the machine, in the Collector's names (service/telemetry's documentation.md).
// Where Go's words do not fit, V8's nearest stands in, as the descriptions say.
import { getHeapStatistics } from 'node:v8'
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
    () => getHeapStatistics().used_heap_size,
  )
  gauge(
    'otelcol_process_runtime_total_sys_memory_bytes',
    'Bytes that V8 has reserved: heap, buffers outside of it, and its own.',
    'By',
    () => {
      const { total_heap_size: heap, external_memory: outside, malloced_memory: own } = getHeapStatistics()
      return heap + outside + own
    },
  )
}

const observing = (read: () => number) => (result: ObservableResult) => result.observe(read())
