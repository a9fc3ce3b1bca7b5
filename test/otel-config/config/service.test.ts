// What people get wrong in service and its pipelines, and the exact words they get for it.
import { eachIsSaid, FINE, pipeline, service } from './mistakes.ts'

eachIsSaid([
  [
    'an unknown key of service',
    service('pipeline: {}'),
    '7:3 service: has invalid keys: pipeline (did you mean pipelines?)',
  ],
  [
    'an extension that is not there',
    service('extensions: [host]'),
    '7:16 service::extensions: references extension "host" which is not configured (add host: under extensions)',
  ],
  [
    'extensions that are no list',
    service('extensions: host'),
    '7:3 service::extensions: expected a list of extensions, such as [host]',
  ],
  [
    'two machines',
    `extensions: {host: , host/b: }\n${service('extensions: [host, host/b]')}`,
    '8:3 service::extensions: there is one machine: keep one of host, host/b',
  ],
  [
    'a level that is none',
    service('telemetry: {logs: {level: trace}}'),
    '7:22 service::telemetry::logs::level: expected one of debug, info, warn, error, got "trace"',
  ],
  [
    'a reader of own metrics',
    service('telemetry: {metrics: {readers: []}}'),
    '7:25 service::telemetry::metrics::readers: is not supported: own metrics (otelcol_…) go out with the exporters of the pipelines; remove it, or set level: none',
  ],
  [
    'an unknown signal',
    pipeline('metric: {receivers: [cgroup], exporters: [debug]}'),
    '8:5 service::pipelines::metric: unknown signal "metric" (did you mean metrics?)',
  ],
  [
    'a signal that is not there yet',
    pipeline('logs/a: {receivers: [cgroup], exporters: [debug]}'),
    '8:5 service::pipelines::logs/a: there are no components for logs yet: only metrics pipelines can run',
  ],
  [
    'no receivers',
    pipeline('metrics: {receivers: [], exporters: [debug]}'),
    '8:15 service::pipelines::metrics: must have at least one receiver',
  ],
  [
    'no exporters',
    pipeline('metrics: {receivers: [cgroup]}'),
    '8:5 service::pipelines::metrics: must have at least one exporter',
  ],
  [
    'a receiver not in a list',
    pipeline('metrics: {receivers: cgroup, exporters: [debug]}'),
    '8:15 service::pipelines::metrics::receivers: expected a list, got "cgroup" (write [cgroup])',
  ],
  [
    'a number for an id',
    pipeline('metrics: {receivers: [1], exporters: [debug]}'),
    '8:27 service::pipelines::metrics::receivers::0: expected the id of a component, got 1',
  ],
  [
    'references with a slip',
    pipeline('metrics: {receivers: [cgrup], exporters: [debgu]}'),
    '8:27 service::pipelines::metrics: references receiver "cgrup" which is not configured (did you mean cgroup?)',
    '8:47 service::pipelines::metrics: references exporter "debgu" which is not configured (did you mean debug?)',
  ],
  [
    'a reference to the other side',
    pipeline('metrics: {receivers: [debug], exporters: [debug]}'),
    '8:27 service::pipelines::metrics: references receiver "debug" which is not configured (there is one under exporters)',
  ],
  [
    'a processor twice',
    `processors: {container_attribution: }\n${pipeline('metrics: {receivers: [cgroup], processors: [container_attribution, container_attribution], exporters: [debug]}')}`,
    '9:72 service::pipelines::metrics: references processor "container_attribution" multiple times',
  ],
  [
    'a receiver in no pipeline',
    FINE.replace('cgroup, ', ''),
    '2:3 receivers::cgroup: is in no pipeline: checked, but not started',
  ],
  [
    'an extension that is not used',
    `extensions: {host: }\n${FINE}`,
    '1:14 extensions::host: is not in service::extensions: not started',
  ],
])
