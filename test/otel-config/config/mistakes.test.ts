// What people get wrong in a configuration, and the exact words they get for it.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complaintText, inFileOrder, placeText } from '../../../otel-config/config/complaints.ts'
import { examine } from '../../../otel-config/config/load.ts'
import { components } from './given.ts'

const FINE = `receivers:
  cgroup:
  icmp_latency:
exporters:
  debug:
service:
  pipelines:
    metrics: {receivers: [cgroup, icmp_latency], exporters: [debug]}
`

/** What is said of a text in the variable FILE, with `FILE:` left out; warnings last. */
function said(text: string, environment: Record<string, string> = {}): string[] {
  const wanted = { configs: ['env:FILE'], sets: [], environment: { FILE: text, ...environment } }
  const { complaints, warnings } = examine(wanted, components)
  const line = (one: (typeof complaints)[number]) =>
    `${placeText(one.place).replace(/^env:FILE:/, '')} ${complaintText(one)}`
  return [...inFileOrder(complaints).map(line), ...(complaints.length > 0 ? [] : inFileOrder(warnings).map(line))]
}

const icmp = (body: string) => FINE.replace('  icmp_latency:\n', `  icmp_latency:\n    ${body}\n`)
const cgroup = (body: string) => FINE.replace('  cgroup:\n', `  cgroup:\n    ${body}\n`)
const otlp = (body: string) =>
  FINE.replace('  debug:\n', `  otlp_grpc:\n    ${body}\n`).replace('exporters: [debug]', 'exporters: [otlp_grpc]')
const pipeline = (text: string) => FINE.replace(/ {4}metrics: .*/, `    ${text}`)
const service = (text: string) => FINE.replace('service:\n', `service:\n  ${text}\n`)

const MISTAKES: readonly (readonly [title: string, text: string, ...said: string[]])[] = [
  ['nothing is wrong', FINE],
  // YAML itself
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
  ['a tab', 'receivers:\n\tcgroup:', '2:1 tabs cannot indent YAML: use spaces'],
  ['a key twice', 'receivers:\n  cgroup:\n  cgroup:', '3:3 this key is here twice: keep one of them'],
  ['a quote that does not end', 'receivers: "cgroup', '1:19 is not valid YAML: missing closing "quote'],
  [
    'a bracket that does not close',
    'a: [1, 2',
    '1:9 is not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  [
    'an indentation that fits nothing',
    'a:\n    b: 1\n  c: 2',
    '3:1 is not valid YAML: all mapping items must start at the same column',
  ],
  [
    'two mistakes of YAML',
    'a: "x" y\nb: @z',
    '1:8 is not valid YAML: unexpected scalar at node end',
    '2:4 is not valid YAML: plain value cannot start with reserved character @',
  ],
  ['an alias without anchor', 'a: *b', '1:4 *b has no anchor before it'],
  ['an unknown tag', 'a: !secret x', '1:4 is not valid YAML: unresolved tag: !secret'],
  ['a map as a key', '{a: 1}: 2', '1:1 a key has to be a plain word'],
  [
    'two documents',
    `${FINE}---\n${FINE}`,
    '9:1 holds more than one document (---): keep one, or give each as a --config of its own',
  ],
  ['an alias of itself', 'a: &a\n  b: *a', '2:3 is nested more than 100 levels deep'],
  ['a thousand brackets', '['.repeat(1000), '1:1 is nested more than 100 levels deep'],
  ['a merge key with a word', 'a:\n  <<: x', '2:7 << takes a map, or a list of maps'],
  // sections
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
  // ids
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
  // settings
  [
    'an unknown key',
    icmp('targets_per_contaner: 3'),
    '4:5 receivers::icmp_latency: has invalid keys: targets_per_contaner (did you mean targets_per_container?)',
  ],
  [
    'an unknown key that is meant for every receiver',
    cgroup('colection_interval: 3s'),
    '3:5 receivers::cgroup: has invalid keys: colection_interval (did you mean collection_interval?)',
  ],
  [
    'a key like nothing else',
    cgroup('zzz: 1'),
    '3:5 receivers::cgroup: has invalid keys: zzz (there is: collection_interval, initial_delay, timeout, metrics)',
  ],
  [
    'a duration in words',
    icmp('collection_interval: 15 seconds'),
    '4:5 receivers::icmp_latency::collection_interval: expected a duration such as 10s, got "15 seconds"',
  ],
  [
    'a duration without unit',
    icmp('interval: 10'),
    '4:5 receivers::icmp_latency::interval: expected a duration such as 10s, got 10',
  ],
  ['a bare 0 is a duration', icmp('timeout: 0')],
  [
    'no interval',
    cgroup('collection_interval: 0s'),
    '3:5 receivers::cgroup: "collection_interval": requires positive value',
  ],
  [
    'an interval in the past',
    cgroup('collection_interval: -1m'),
    '3:5 receivers::cgroup: "collection_interval": requires positive value',
  ],
  [
    'an interval too short',
    cgroup('collection_interval: 1ms'),
    '3:5 receivers::cgroup: "collection_interval": requires at least 10ms',
  ],
  ['a timeout in the past', cgroup('timeout: -1s'), '3:5 receivers::cgroup: "timeout": requires positive value'],
  [
    'a delay in the past',
    cgroup('initial_delay: -1s'),
    '3:5 receivers::cgroup: "initial_delay": requires positive value or 0',
  ],
  [
    'a number in quotes',
    icmp('targets_per_container: "10"'),
    '4:5 receivers::icmp_latency::targets_per_container: expected a number, got "10" (remove the quotes)',
  ],
  ['a number in words', icmp('ratio: half'), '4:5 receivers::icmp_latency::ratio: expected a number, got "half"'],
  [
    'a number too small',
    icmp('targets_per_container: 0'),
    '4:5 receivers::icmp_latency::targets_per_container: expected at least 1, got 0',
  ],
  [
    'a number too large',
    icmp('targets_per_container: 1001'),
    '4:5 receivers::icmp_latency::targets_per_container: expected at most 1000, got 1001',
  ],
  [
    'a fraction',
    icmp('targets_per_container: 1.5'),
    '4:5 receivers::icmp_latency::targets_per_container: expected a whole number, got 1.5',
  ],
  ['yes', icmp('ipv6: yes'), '4:5 receivers::icmp_latency::ipv6: expected true or false, got "yes"'],
  [
    'true in quotes',
    icmp('ipv6: "true"'),
    '4:5 receivers::icmp_latency::ipv6: expected true or false, got "true" (remove the quotes)',
  ],
  [
    'a wrong choice',
    icmp('mode: Raw'),
    '4:5 receivers::icmp_latency::mode: expected one of auto, raw, dgram, got "Raw" (did you mean raw?)',
  ],
  [
    'neither of two types',
    icmp('limit: [1]'),
    '4:5 receivers::icmp_latency::limit: expected auto or a number, got a list',
  ],
  ['a list for a map', cgroup('- a'), '2:3 receivers::cgroup: expected a map, got a list'],
  ['a word for a map', FINE.replace('cgroup:\n', 'cgroup: on\n'), '2:3 receivers::cgroup: expected a map, got "on"'],
  ['a map for a list', icmp('targets: {a: 1}'), '4:5 receivers::icmp_latency::targets: expected a list, got a map'],
  [
    'a wrong item',
    icmp('targets: [a, {address: b}]'),
    '4:15 receivers::icmp_latency::targets::0: expected a map, got "a"',
  ],
  [
    'a wrong key in an item',
    icmp('targets: [{adress: b}]'),
    '4:15 receivers::icmp_latency::targets::0::address: is required: expected a string',
    '4:16 receivers::icmp_latency::targets::0: has invalid keys: adress (did you mean address?)',
  ],
  ['a number for a text', otlp('endpoint: 4317'), '6:5 exporters::otlp_grpc::endpoint: expected a string, got 4317'],
  [
    'a required key left out',
    otlp('headers: {}'),
    '5:3 exporters::otlp_grpc::endpoint: is required: expected a string',
  ],
  [
    'a required key without value',
    otlp('endpoint:'),
    '6:5 exporters::otlp_grpc::endpoint: is required: expected a string',
  ],
  [
    'a secret of the wrong type',
    otlp('{endpoint: x, headers: {token: 1234}}'),
    '6:29 exporters::otlp_grpc::headers::token: expected a string',
  ],
  [
    'an unknown key deep inside',
    otlp('{endpoint: x, tls: {insecur: true}}'),
    '6:25 exporters::otlp_grpc::tls: has invalid keys: insecur (did you mean insecure?)',
  ],
  [
    'an unknown metric',
    cgroup('metrics: {container.cpu.usag: {enabled: false}}'),
    '3:15 receivers::cgroup::metrics: has invalid keys: container.cpu.usag (did you mean container.cpu.usage?)',
  ],
  [
    'a metric without enabled',
    cgroup('metrics: {container.cpu.usage: false}'),
    '3:15 receivers::cgroup::metrics::container.cpu.usage: expected a map, got false',
  ],
  // service
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
  // values that came from elsewhere
  [
    'a variable of the wrong type',
    icmp('targets_per_container: ${env:WORD}'),
    '4:5 receivers::icmp_latency::targets_per_container: expected a number, got "ten" (the value of ${env:WORD})',
  ],
  [
    'a variable with a bad name',
    icmp('mode: ${env:1A}'),
    '4:5 receivers::icmp_latency::mode: environment variable "1A" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$',
  ],
  [
    'a default without env',
    icmp('mode: ${MODE:-raw}'),
    '4:5 receivers::icmp_latency::mode: scheme "MODE" is not supported: write ${env:MODE:-raw}',
  ],
  [
    'a scheme that is not there',
    icmp('mode: ${vault:x}'),
    '4:5 receivers::icmp_latency::mode: scheme "vault" is not supported for uri "vault:x"',
  ],
  [
    'a file that is not there',
    icmp('mode: ${file:/nowhere/x}'),
    '4:5 receivers::icmp_latency::mode: unable to read the file file:/nowhere/x: no such file or directory: check the path',
  ],
  ['a variable of itself', icmp('mode: ${LOOP}'), '4:5 receivers::icmp_latency::mode: too many recursive expansions'],
  // warnings
  [
    'a variable that is not set',
    icmp('mode: ${env:NOT_SET}'),
    '4:5 receivers::icmp_latency::mode: environment variable "NOT_SET" is not set: the value is empty',
  ],
  [
    'an older name',
    otlp('endpoint: x').replaceAll('otlp_grpc', 'otlp'),
    '5:3 exporters::otlp: "otlp" alias is deprecated; use "otlp_grpc" instead',
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
]

for (const [title, text, ...expected] of MISTAKES) {
  test(`${title}: ${expected.length === 0 ? 'nothing to say' : 'said with its place'}`, () => {
    assert.deepEqual(said(text, { WORD: 'ten', LOOP: '${LOOP}' }), expected)
  })
}

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

test('a mistake on the command line is said with what was typed', () => {
  const wanted = { configs: ['env:FILE'], sets: ['receivers.cgroup.timeout=soon'], environment: { FILE: FINE } }
  const [complaint] = examine(wanted, components).complaints
  assert.ok(complaint)
  assert.equal(placeText(complaint.place), '--set receivers.cgroup.timeout=soon')
  assert.equal(complaintText(complaint), 'receivers::cgroup::timeout: expected a duration such as 10s, got "soon"')
})

test('a key with control characters cannot write to the terminal', () => {
  assert.deepEqual(said(cgroup('"\\e[31mred": 1')), [
    '3:5 receivers::cgroup: has invalid keys: ?[31mred (there is: collection_interval, initial_delay, timeout, metrics)',
  ])
})

test('nor can one that turns the direction of writing, or one of a megabyte fill it', () => {
  assert.deepEqual(said(cgroup('"\\u202Ered": 1')), [
    '3:5 receivers::cgroup: has invalid keys: ?red (there is: collection_interval, initial_delay, timeout, metrics)',
  ])
  const [long = ''] = said(cgroup(`timeout: ${'x'.repeat(300_000)}`))
  assert.ok(long.startsWith('3:5 receivers::cgroup::timeout: expected a duration') && long.length < 700, long)
})

test('a duration that no timer can wait is refused', () => {
  assert.deepEqual(said(cgroup('timeout: 1000h')), [
    '3:5 receivers::cgroup::timeout: expected a duration of at most 596h, got "1000h"',
  ])
})

test('secrets that were typed or stand in an address are not repeated', () => {
  const said = (...sets: string[]) => {
    const wanted = { configs: ['env:FILE'], sets, environment: { FILE: FINE } }
    return examine(wanted, components).complaints.map((one) => `${placeText(one.place)} ${complaintText(one)}`)
  }
  const all = [
    ...said('exporters.otlp_grpc.headers=hunter2'),
    ...said('exporters.otlp_grpc.headers.authorization=[hunter2]'),
    ...said('exporters.otlp_grpc.headers={authorization: [hunter2]}'),
    ...said('exporters.otlp_grpc.endpoint=http://me:hunter2@host:4317/x'),
  ]
  assert.ok(all.length >= 4)
  assert.ok(!all.join('\n').includes('hunter2'), all.join('\n'))
})

test('a device that never ends is not read to its end', () => {
  const [complaint] = examine({ configs: ['/dev/zero'], sets: [], environment: {} }, components).complaints
  assert.match(complaint?.message ?? '', /larger than 4 MiB/)
})
