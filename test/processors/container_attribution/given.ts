// What tests of this processor are given: a machine that knows its containers, and the processor started on it.
import assert from 'node:assert/strict'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import definition from '../../../processors/container_attribution/index.ts'
import { metrics } from '../../../processors/container_attribution/life.ts'
import type { Batch, Point } from '../../../processors/processor.ts'
import type { Attribution, Cgroup, Container, Host, HostIdentity, Node } from '../../../receivers/host/host.ts'
import type { Logger } from '../../../receivers/receiver.ts'

const IDENTITY: HostIdentity = {
  machineId: 'b7fd4e2d',
  systemUuid: '4C4C4544',
  hostname: 'box',
  kernelVersion: '6.18.5',
  arch: 'x64',
}
export const NODE: Node = { kind: 'node', bornMs: 1, endedMs: undefined }
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

export const container = (name: string, top: Cgroup, more: Partial<Container> = {}): Container => ({
  containerId: `/docker/${name}`,
  appId: '',
  runtime: 'docker',
  top,
  resource: { 'container.name': name, 'container.runtime.name': 'docker' },
  image: 'nginx:1',
  ...more,
})

/** A machine whose cgroups a test names; whatever else one could ask it is not asked here. */
export function machine() {
  const attributions = new Map<Cgroup, Attribution>()
  const host = {
    identity: IDENTITY,
    node: NODE,
    attribution: (of: Cgroup) => attributions.get(of) ?? { state: 'none' },
    *containers() {
      for (const attribution of attributions.values()) {
        if (attribution.state === 'container' && attribution.container.top.endedMs === undefined)
          yield attribution.container
      }
    },
  } as unknown as Host
  return {
    host,
    runs(one: Container, ...nested: Cgroup[]) {
      for (const each of [one.top, ...nested]) attributions.set(each, { state: 'container', container: one })
    },
    set: (of: Cgroup, attribution: Attribution) => attributions.set(of, attribution),
  }
}

export async function started(host: Host, settings: unknown = {}) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: 3_600_000,
    exportTimeoutMillis: 1000,
  })
  const provider = new MeterProvider({ readers: [reader] })
  const context = { host, log: silent, meter: provider.getMeter('test'), id: 'container_attribution/a' }
  const processor = await definition.start(z.parse(definition.config, settings), context)
  return {
    process: (given: Batch) => processor.process(given),
    /** Our own counter, by outcome. */
    async outcomes(): Promise<Record<string, number>> {
      await reader.forceFlush()
      const metric = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics[0]
      await provider.shutdown()
      assert.equal(metric?.descriptor.name, 'otelcol_processor_container_attribution_points')
      return Object.fromEntries(
        (metric?.dataPoints ?? []).map(({ attributes, value }) => {
          assert.equal(attributes.processor, 'container_attribution/a')
          return [String(attributes.outcome), Number(value)]
        }),
      )
    },
  }
}

/** Without the two metrics that the processor adds. */
export const given = (points: readonly Point[]) => points.filter(({ name }) => !(name in metrics))
