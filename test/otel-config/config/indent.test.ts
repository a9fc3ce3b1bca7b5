// Keys that stand one level too far out, and the exact words that people get for it.
import { eachIsSaid, FINE } from './mistakes.ts'

const moved = (from: string, to: string) => FINE.replace(from, () => to)

eachIsSaid([
  [
    'a setting beside its receiver',
    moved('  cgroup:\n', '  cgroup:\n  collection_interval: 5s\n'),
    '3:3 receivers: unknown type: "collection_interval" for id: "collection_interval" (valid values: [cgroup icmp_latency]) (indent it under cgroup)',
  ],
  [
    'pipelines beside service',
    moved('  pipelines:\n    metrics:', 'pipelines:\n  metrics:'),
    '6:1 service::pipelines: service must have at least one pipeline',
    '7:1 has invalid keys: pipelines (indent it under service)',
  ],
  [
    'a receiver beside receivers',
    moved('  icmp_latency:\n', 'icmp_latency:\n'),
    '3:1 has invalid keys: icmp_latency (indent it under receivers)',
    '8:35 service::pipelines::metrics: references receiver "icmp_latency" which is not configured (add icmp_latency: under receivers)',
  ],
  [
    'a pipeline beside pipelines',
    moved('  pipelines:\n    metrics:', '  pipelines:\n  metrics:'),
    '7:3 service::pipelines: service must have at least one pipeline',
    '8:3 service: has invalid keys: metrics (indent it under pipelines)',
  ],
  [
    'lists beside their pipeline',
    moved(
      '    metrics: {receivers: [cgroup, icmp_latency], exporters: [debug]}',
      '    metrics:\n    receivers: [cgroup, icmp_latency]\n    exporters: [debug]',
    ),
    '8:5 service::pipelines::metrics: must have at least one receiver',
    '8:5 service::pipelines::metrics: must have at least one exporter',
    '9:5 service::pipelines::receivers: unknown signal "receivers" (indent it under metrics)',
    '10:5 service::pipelines::exporters: unknown signal "exporters" (indent it under metrics)',
  ],
])
