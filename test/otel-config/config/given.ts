// Components that are as real as a configuration can tell: what the checks are tried with.
import * as z from 'zod/mini'
import type { Components } from '../../../otel-config/components.ts'
import { defineExporter } from '../../../otel-config/exporter.ts'
import { defineProcessor } from '../../../processors/processor.ts'
import { defineReceiver } from '../../../receivers/receiver.ts'
import { duration, secret } from '../../../receivers/schema.ts'

const nothing = () => ({ collect() {} })

export const components: Components = {
  receivers: [
    defineReceiver({
      name: 'cgroup',
      summary: 'Uses.',
      stability: 'alpha',
      config: z.strictObject({}),
      metrics: {
        'container.cpu.usage': { kind: 'counter', unit: 's', description: 'CPU time.' },
        'container.cpu.detail': { kind: 'counter', unit: 's', description: 'More of it.', enabled: false },
      },
      needs: [],
      start: nothing,
    }),
    defineReceiver({
      name: 'icmp_latency',
      summary: 'Distances.',
      stability: 'beta',
      config: z.strictObject({
        targets_per_container: z._default(z.int().check(z.gte(1), z.lte(1000)), 20),
        interval: z._default(duration(), 1000),
        mode: z._default(z.enum(['auto', 'raw', 'dgram']), 'auto'),
        ratio: z._default(z.number(), 0.5),
        ipv6: z._default(z.boolean(), true),
        targets: z._default(z.array(z.strictObject({ address: z.string(), label: z.optional(z.string()) })), []),
        limit: z._default(z.union([z.literal('auto'), z.int()]), 'auto'),
      }),
      metrics: {},
      needs: [],
      start: nothing,
    }),
  ],
  processors: [
    defineProcessor({
      name: 'container_attribution',
      summary: 'Names.',
      stability: 'alpha',
      config: z.strictObject({ container_allowlist: z._default(z.array(z.string()), []) }),
      metrics: {},
      start: () => ({ process: (batch) => batch }),
    }),
  ],
  exporters: [
    defineExporter({
      name: 'otlp_grpc',
      deprecatedName: 'otlp',
      summary: 'Sends.',
      stability: 'alpha',
      config: z.strictObject({
        endpoint: z.string(),
        headers: z._default(z.record(z.string(), secret()), {}),
        bearer: z.optional(secret()),
        tls: z._default(z.strictObject({ insecure: z._default(z.boolean(), false), key_pem: z.optional(z.string()) }), {
          insecure: false,
        }),
      }),
      create: () => ({ start() {}, consume() {}, async stop() {} }),
    }),
    defineExporter({
      name: 'debug',
      summary: 'Prints.',
      stability: 'alpha',
      config: z.strictObject({ verbosity: z._default(z.enum(['basic', 'normal', 'detailed']), 'basic') }),
      create: () => ({ start() {}, consume() {}, async stop() {} }),
    }),
  ],
  extensions: [
    {
      name: 'host',
      summary: 'The machine.',
      stability: 'alpha',
      config: z.strictObject({ root: z._default(z.string(), '/') }),
    },
  ],
}
