// What the agent says of itself, against what the kernel says of it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { MetricReader } from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import { telemetrySettings } from '../../../otel-config/config/schema.ts'
import { outside } from '../../../otel-config/service/outside.ts'
import { observeProcess } from '../../../otel-config/service/process_metrics.ts'
import { version } from '../../../otel-config/version.ts'
import type { Host } from '../../../receivers/host/host.ts'

class Reader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}
}

const identity = { machineId: 'm1', systemUuid: '', hostname: 'box', kernelVersion: '6.18', arch: 'x64' }

async function collected(settings: object = {}) {
  const reader = new Reader()
  const telemetry = outside.createTelemetry([reader], z.parse(telemetrySettings, settings), { identity } as Host)
  observeProcess(telemetry.meter('leadline/service'))
  const { resourceMetrics } = await reader.collect()
  await telemetry.stop(1000)
  const metrics = resourceMetrics.scopeMetrics.flatMap(({ metrics: all }) => all)
  return {
    resource: resourceMetrics.resource.attributes,
    units: Object.fromEntries(metrics.map(({ descriptor }) => [descriptor.name, descriptor.unit])),
    value: (name: string) => metrics.find(({ descriptor }) => descriptor.name === name)?.dataPoints[0]?.value as number,
  }
}

test('memory, CPU time and age are those that the kernel has', async () => {
  const { units, value } = await collected()
  assert.deepEqual(units, {
    otelcol_process_uptime: 's',
    otelcol_process_cpu_seconds: 's',
    otelcol_process_memory_rss: 'By',
    otelcol_process_runtime_heap_alloc_bytes: 'By',
    otelcol_process_runtime_total_sys_memory_bytes: 'By',
  })
  const near = (name: string, truth: number, within: number) =>
    assert.ok(Math.abs(value(name) - truth) <= within, `${name}: ${value(name)}, not ${truth}`)
  const rssBytes = 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1])
  near('otelcol_process_memory_rss', rssBytes, rssBytes / 10)
  // proc_pid_stat(5): 14 and 15 are user and system time, 22 the start, in ticks of 10 ms.
  const stat = readFileSync('/proc/self/stat', 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')
    .map(Number)
  near('otelcol_process_cpu_seconds', ((stat[11] ?? 0) + (stat[12] ?? 0)) / 100, 0.3)
  const sinceBoot = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0])
  near('otelcol_process_uptime', sinceBoot - (stat[19] ?? 0) / 100, 1)
  const heap = value('otelcol_process_runtime_heap_alloc_bytes')
  assert.ok(heap > 1e6 && heap < value('otelcol_process_runtime_total_sys_memory_bytes'))
})

test('its Resource is the agent on this machine; settings add, change and remove', async () => {
  const { resource } = await collected({ resource: { 'service.name': 'mine', team: 'blue', 'host.arch': null } })
  const { 'service.instance.id': instance, ...rest } = resource
  assert.match(String(instance), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  assert.deepEqual(rest, {
    'host.name': 'box',
    'host.id': 'm1',
    'os.type': 'linux',
    'os.version': '6.18',
    'service.name': 'mine',
    'service.version': version,
    team: 'blue',
  })
  const other = await collected()
  assert.equal(other.resource['service.name'], 'leadline')
  assert.notEqual(other.resource['service.instance.id'], instance)
})

test('with level none nothing is told', async () => {
  const { units } = await collected({ metrics: { level: 'none' } })
  assert.deepEqual(units, {})
})
