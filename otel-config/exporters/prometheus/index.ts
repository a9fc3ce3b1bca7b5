// A page for Prometheus to scrape, under the peer's names and labels. Each scrape collects anew.
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import * as z from 'zod/mini'
import { hostResource } from '../../../processors/host_resource.ts'
import { promName } from '../../../processors/naming.ts'
import type { Point } from '../../../processors/processor.ts'
import { tableProducer } from '../../../processors/producer.ts'
import { createTable } from '../../../processors/table.ts'
import type { Attributes } from '../../../receivers/receiver.ts'
import { duration } from '../../../receivers/schema.ts'
import { defineExporter } from '../../exporter.ts'
import { endpoint, parseEndpoint } from '../endpoint.ts'
import { type PageServer, servePage } from './server.ts'

export default defineExporter({
  name: 'prometheus',
  summary: 'A page for Prometheus to scrape, at /metrics.',
  stability: 'alpha',
  config: z.strictObject({
    /** `host:port`; on the loopback address unless you say otherwise. */
    endpoint: endpoint('localhost:9464'),
    /** How long the series of a container stay after it ended. */
    metric_expiration: z._default(duration(), 300_000),
    /** A scrape that takes longer is answered with 503; sooner where the scraper says that it waits less. */
    timeout: z._default(duration(), 9_000),
    /** A scrape within this time of the last collection is answered with that one. */
    max_age: z._default(duration(), 1_000),
    /** Labels for every series. */
    const_labels: z._default(z.record(z.string(), z.string()), {}),
  }),

  create(config, { host, log, collect, id }) {
    const { machineId, systemUuid } = host.identity
    // The peer puts both on everything, empty when the machine does not tell.
    const constant: Attributes = { machine_id: machineId, system_uuid: systemUuid, ...config.const_labels }
    const machine = hostResource(host.identity)
    const table = createTable({
      forgetAfterMs: config.metric_expiration,
      view: {
        names: 'prometheus',
        resource: () => machine,
        attributes: ({ resource, attributes }: Point) => ({ ...constant, ...resource?.labels, ...attributes }),
      },
    })
    const producer = tableProducer(table, { name: (name, metric) => promName(name, metric.unit, metric.kind) })
    const reader = new PrometheusExporter({ preventServerStart: true, metricProducers: [producer] })
    const serializer = new PrometheusSerializer('', false, undefined, true, true)
    const where = parseEndpoint(config.endpoint) ?? { host: 'localhost', port: 9464 }
    let server: PageServer | undefined
    let failing = false

    async function page(): Promise<string> {
      await collect(config.max_age)
      const { resourceMetrics, errors } = await reader.collect({ timeoutMillis: config.timeout })
      if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '))
      return serializer.serialize(resourceMetrics)
    }

    return {
      readers: [reader],
      async start(meter) {
        server = await servePage({
          endpoint: where,
          page,
          timeoutMs: config.timeout,
          onFailure(error) {
            if (!failing) log.error('Scrapes fail', { error: error.message })
            failing = true
          },
          onSuccess() {
            if (failing) log.info('Scrapes succeed again')
            failing = false
          },
        })
        const series = meter.createObservableGauge('otelcol_exporter_series', { description: 'Series that are held.' })
        series.addCallback((result) => result.observe(table.size, { exporter: id }))
        const refused = meter.createObservableCounter('otelcol_exporter_refused_metric_points', {
          description: 'Points that the table did not take.',
        })
        refused.addCallback((result) => result.observe(table.refused, { exporter: id }))
      },
      url() {
        const name = where.host.includes(':') ? `[${where.host}]` : where.host
        return `http://${name}:${server?.port ?? where.port}/metrics`
      },
      consume: (batch) => table.apply(batch),
      async stop() {
        await server?.close()
      },
    }
  },
})
