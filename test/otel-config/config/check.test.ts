// What people get wrong in the sections of a configuration and the ids in them, and the exact words they get for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroup, eachIsSaid, FINE, otlp, said } from './mistakes.ts'

eachIsSaid([
  ['nothing is wrong', FINE],
  ['nothing at all', '# soon', 'env:FILE empty configuration file: begin with what leadline print-config prints'],
  ['an empty map', '{}', '1:1 empty configuration file: begin with what leadline print-config prints'],
  [
    'a list at the top',
    '- cgroup',
    '1:1 expected a map of sections (receivers, processors, exporters, connectors, extensions, service)',
  ],
  [
    'a word at the top',
    'hello',
    '1:1 expected a map of sections (receivers, processors, exporters, connectors, extensions, service)',
  ],
  ['an unknown section', `reciever: {}\n${FINE}`, '1:1 has invalid keys: reciever (did you mean receivers?)'],
  [
    'only receivers',
    'receivers:\n  cgroup:\n',
    '1:1 no exporter configuration specified in config',
    '1:1 service::pipelines: service must have at least one pipeline',
  ],
  [
    'only a service',
    'service: {pipelines: {}}',
    '1:1 no receiver configuration specified in config',
    '1:1 no exporter configuration specified in config',
    '1:11 service::pipelines: service must have at least one pipeline',
  ],
  ['a list of extensions to define', `extensions: [host]\n${FINE}`, '1:1 extensions: expected a map, got a list'],
  [
    'a connector',
    `connectors: {count: }\n${FINE}`,
    '1:14 connectors: unknown type: "count" for id: "count" (there are no connectors yet)',
  ],
  ['an empty id', `processors: {"": }\n${FINE}`, '1:14 processors: id must not be empty'],
  [
    'nothing before the slash',
    `processors: {/a: }\n${FINE}`,
    '1:14 processors: in "/a" id: the part before / should not be empty',
  ],
  [
    'nothing after the slash',
    `processors: {a/: }\n${FINE}`,
    '1:14 processors: in "a/" id: the part after / should not be empty',
  ],
  ['a type with a dash', `processors: {a-b: }\n${FINE}`, '1:14 processors: invalid character(s) in type "a-b"'],
  ['a name with a blank', `processors: {a/b c: }\n${FINE}`, '1:14 processors: invalid character(s) in name "b c"'],
  ['an id twice', `extensions: {host/a: , host / a: }\n${FINE}`, '1:24 extensions::host / a: duplicate id "host/a"'],
  [
    'an unknown receiver',
    cgroup('').replace('  cgroup:', '  cgroups:').replace('[cgroup,', '[cgroups,'),
    '2:3 receivers: unknown type: "cgroups" for id: "cgroups" (valid values: [cgroup icmp_latency]) (did you mean cgroup?)',
  ],
  [
    'an older name',
    otlp('endpoint: x').replaceAll('otlp_grpc', 'otlp'),
    '5:3 exporters::otlp: "otlp" alias is deprecated; use "otlp_grpc" instead',
  ],
])

test('everything is said at once, in the order of the file', () => {
  const text = `receivers:
  icmp_latency:
    collection_interval: 15 seconds
    targets_per_contaner: 3
exporters:
  debug:
    verbosity: loud
service:
  pipelines:
    metrics:
      receivers: [icmp_latency]
      exporters: [debgu]
`
  assert.deepEqual(said(text), [
    '3:5 receivers::icmp_latency::collection_interval: expected a duration such as 10s, got "15 seconds"',
    '4:5 receivers::icmp_latency: has invalid keys: targets_per_contaner (did you mean targets_per_container?)',
    '7:5 exporters::debug::verbosity: expected one of basic, normal, detailed, got "loud"',
    '12:19 service::pipelines::metrics: references exporter "debgu" which is not configured (did you mean debug?)',
  ])
})
