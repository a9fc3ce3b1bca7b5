// Sends to an OpenTelemetry Collector, or to whatever else takes OTLP over gRPC, with one Resource per container.
import { hostResource } from '../../../processors/host_resource.ts'
import { createTable } from '../../../processors/table.ts'
import { defineExporter } from '../../exporter.ts'
import { version } from '../../version.ts'
import { exporterMetrics } from './own_metrics.ts'
import { OwnReader } from './own_reader.ts'
import { queueBytes, queuePoints, type Settings, settings, withoutEffect } from './settings.ts'
import type { Shipping } from './shipping.ts'

export default defineExporter<Settings>({
  name: 'otlp_grpc',
  deprecatedName: 'otlp',
  summary: 'Sends OTLP over gRPC, one Resource per container, and keeps the newest values while nobody answers.',
  stability: 'alpha',
  config: settings,

  create(config, { host, log, id }) {
    const machine = hostResource(host.identity)
    const { sending_queue: queue } = config
    let shipping: Shipping | undefined
    const bytesPerPoint = () => shipping?.bytesPerPoint ?? 1
    const table = createTable({
      forgetAfterMs: config.metric_expiration,
      maxHeld: () => queuePoints(queue, bytesPerPoint()),
      view: {
        names: 'otel',
        resource: ({ resource }) => resource ?? machine,
        attributes: ({ attributes }) => attributes,
      },
    })
    const reader = new OwnReader()

    return {
      readers: [reader],
      async start(meter) {
        const ignored = withoutEffect(config)
        if (ignored.length > 0) log.warn('Settings without effect here', { settings: ignored })
        // Only now: gRPC takes memory that nobody else has to pay for.
        const [{ createSender }, { startShipping }] = await Promise.all([
          import('./sender.ts'),
          import('./shipping.ts'),
        ])
        const metrics = exporterMetrics(meter, id, {
          size: () => Math.round((shipping?.waiting ?? 0) * bytesPerPoint()),
          capacity: () => queueBytes(queue, bytesPerPoint()),
          series: () => table.size,
          refused: () => table.refused,
          lost: () => table.lost,
        })
        shipping = startShipping({
          settings: config,
          table,
          sender: createSender(config, `leadline/${version}`),
          metrics,
          log,
          version,
          async own() {
            const { resourceMetrics } = await reader.collect()
            return resourceMetrics
          },
        })
      },
      consume(batch) {
        table.apply(batch)
        shipping?.wake()
      },
      async stop(deadlineMs) {
        await shipping?.stop(deadlineMs)
      },
    }
  },
})
