// What people get wrong in the exporter's settings, with the exact words they get for it; and what may be pasted.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { components } from '../../../../otel-config/components.ts'
import { complaintText, inFileOrder, placeText } from '../../../../otel-config/config/complaints.ts'
import { examine } from '../../../../otel-config/config/load.ts'
import { print } from '../../../../otel-config/config/print.ts'
import {
  MAX_QUEUE_BYTES,
  queuePoints,
  type Settings,
  settings,
  withoutEffect,
} from '../../../../otel-config/exporters/otlp_grpc/settings.ts'

const config = (body: string, id = 'otlp_grpc') => `receivers: {cgroup: }
exporters:
  ${id}: ${body}
service: {pipelines: {metrics: {receivers: [cgroup], exporters: [${id}]}}}
`

function examined(text: string, environment: Record<string, string> = {}) {
  return examine({ configs: ['env:FILE'], sets: [], environment: { FILE: text, ...environment } }, components)
}

/** What is said of a body on line 3, without the place's file and the path up to the exporter. */
function said(body: string): string[] {
  const { complaints } = examined(config(body))
  return inFileOrder(complaints).map((one) =>
    `${placeText(one.place)} ${complaintText(one)}`.replace(/^env:FILE:3:/, '').replace('exporters::otlp_grpc', '~'),
  )
}

const at = 'endpoint: "c:4317"'
const HOST_PORT = 'expected host:port, such as localhost:4317'
const MISTAKES: readonly (readonly [string, string, ...string[]])[] = [
  ['no endpoint', '{}', `3 ~::endpoint: is required: ${HOST_PORT}`],
  ['a port alone', '{endpoint: 4317}', `15 ~::endpoint: ${HOST_PORT}, got 4317`],
  ['no port', '{endpoint: collector}', `15 ~::endpoint: there is no port: ${HOST_PORT}, got "collector"`],
  [
    'the path of OTLP over HTTP',
    '{endpoint: "http://c:4318/v1/metrics"}',
    '15 ~::endpoint: gRPC has no path: remove "/v1/metrics", got "http://c:4318/v1/metrics"',
  ],
  ['a slip in a key', `{${at}, header: {}}`, '35 ~: has invalid keys: header (did you mean headers?)'],
  ['a slip in tls', `{${at}, tls: {insecur: true}}`, '41 ~::tls: has invalid keys: insecur (did you mean insecure?)'],
  [
    'a compression that the SDK lacks',
    `{${at}, compression: zstd}`,
    `35 ~::compression: expected gzip or none, got "zstd" (the SDK's gRPC transport has no more)`,
  ],
  ['a timeout without unit', `{${at}, timeout: 5}`, '35 ~::timeout: expected a duration such as 10s, got 5'],
  ['no time at all', `{${at}, timeout: 0s}`, '35 ~::timeout: requires positive value'],
  [
    'a header that is none',
    `{${at}, headers: {"x y": z}}`,
    '45 ~::headers::x y: is no name for a header: letters, digits, _ . - only',
  ],
  [
    'a header with a newline',
    `{${at}, headers: {a: "secret\\n"}}`,
    '45 ~::headers::a: has characters that a header cannot carry: printable ASCII only',
  ],
  ['a header that is a number', `{${at}, headers: {a: 1}}`, '45 ~::headers::a: expected a string'],
  [
    'both forms of a certificate',
    `{${at}, tls: {ca_file: a, ca_pem: b}}`,
    '53 ~::tls::ca_pem: there is ca_file as well: keep one of them',
  ],
  [
    'a certificate without its key',
    `{${at}, tls: {cert_file: a}}`,
    '41 ~::tls::cert_file: needs its key: add key_file',
  ],
  [
    'a key without its certificate',
    `{${at}, tls: {key_file: a}}`,
    '41 ~::tls::key_file: needs its certificate: add cert_file',
  ],
  [
    'plain text and an authority',
    `{${at}, tls: {insecure: true, ca_file: a}}`,
    '57 ~::tls::ca_file: has no effect: insecure is true. Remove one of them',
  ],
  [
    'http:// and an authority',
    '{endpoint: "http://c:4317", tls: {ca_file: a}}',
    '48 ~::tls::ca_file: has no effect: http://c:4317 is not encrypted. Write https://, or remove it',
  ],
  [
    'a queue on disk',
    `{${at}, sending_queue: {storage: file_storage}}`,
    '51 ~::sending_queue::storage: is not supported: what waits is kept in memory, newest values only. Remove it',
  ],
  [
    'more points than a request takes',
    `{${at}, sending_queue: {batch: {max_size: 8192}}}`,
    '59 ~::sending_queue::batch::max_size: expected at most 5000, got 8192',
  ],
  [
    'an empty queue',
    `{${at}, sending_queue: {queue_size: 0}}`,
    '51 ~::sending_queue::queue_size: requires positive value',
  ],
  [
    'an authenticator',
    `{${at}, auth: {authenticator: bearer}}`,
    '35 ~::auth: is not supported: write the token into headers, as authorization: Bearer and the token',
  ],
  [
    'a jitter above one',
    `{${at}, retry_on_failure: {randomization_factor: 2}}`,
    '54 ~::retry_on_failure::randomization_factor: expected at most 1, got 2',
  ],
  [
    'an end before the longest wait',
    `{${at}, retry_on_failure: {max_elapsed_time: 10s}}`,
    '54 ~::retry_on_failure::max_elapsed_time: must not be less than max_interval; 0 is never',
  ],
]

for (const [title, body, ...expected] of MISTAKES) {
  test(`mistake: ${title}`, () => {
    // Columns of the line, which begins with two blanks and the id.
    assert.deepEqual(said(body), expected)
  })
}

test('the older spelling works, with a warning', () => {
  const { complaints, warnings } = examined(config('{endpoint: "localhost:4317"}', 'otlp/backend'))
  assert.deepEqual(complaints, [])
  assert.deepEqual(
    warnings.map(({ message }) => message),
    ['"otlp" alias is deprecated; use "otlp_grpc" instead'],
  )
})

test('a block from a Collector can be pasted; what has no effect here is named', () => {
  const pasted = parse(`
endpoint: otelcol2:4317
compression: gzip
balancer_name: round_robin
keepalive: {time: 30s, timeout: 10s, permit_without_stream: true}
write_buffer_size: 524288
tls: {insecure: false, ca_file: server.crt, cert_file: client.crt, key_file: client.key, min_version: "1.2"}
headers: {test1: value1, "test 2": ""}
sending_queue: {enabled: true, num_consumers: 2, queue_size: 10, block_on_overflow: true}
retry_on_failure: {enabled: true, initial_interval: 10s, randomization_factor: 0.7, multiplier: 1.3, max_interval: 60s, max_elapsed_time: 10m}
timeout: 10s
`)
  delete pasted.headers['test 2']
  const read: Settings = settings.parse(pasted)
  assert.deepEqual(withoutEffect(read), [
    'keepalive',
    'balancer_name',
    'write_buffer_size',
    'sending_queue::block_on_overflow',
  ])
  assert.equal(read.retry_on_failure.max_elapsed_time, 600_000)
  assert.deepEqual(withoutEffect(settings.parse({ endpoint: 'localhost:4317' })), [])
})

test('secrets of headers and keys are not printed, also when they come from the environment', () => {
  const body =
    '{endpoint: "c:4317", headers: {authorization: "Bearer ${env:TOKEN}", x-team: blue}, tls: {cert_pem: c, key_pem: k}}'
  const { tree, complaints } = examined(config(body), { TOKEN: 'abc123' })
  assert.deepEqual(complaints, [])
  const { otlp_grpc: printed } = parse(print(tree, components, { format: 'yaml', mode: 'redacted' })).exporters
  assert.deepEqual(printed.headers, { authorization: '[REDACTED]', 'x-team': '[REDACTED]' })
  assert.deepEqual(printed.tls, { cert_pem: '[REDACTED]', key_pem: '[REDACTED]' })
  assert.match(print(tree, components, { format: 'yaml', mode: 'unredacted' }), /Bearer abc123/)
})

test('a secret does not stand in a complaint either', () => {
  const { complaints } = examined(config('{endpoint: "c:4317", headers: {authorization: "Bearer ${env:TOKEN}"}}'), {
    TOKEN: 'geheim\u00e9',
  })
  assert.equal(complaints.length, 1)
  assert.doesNotMatch(
    complaintText(complaints[0] ?? { place: { source: '', order: 0 }, path: '', message: '' }),
    /geheim/,
  )
})

test('the queue has the bounds that are written, and 64 MiB otherwise', () => {
  const queue = (given: object) => settings.parse({ endpoint: 'c:1', sending_queue: given }).sending_queue
  assert.equal(queuePoints(queue({}), 256), MAX_QUEUE_BYTES / 256)
  assert.equal(queuePoints(queue({ queue_size: 2560, sizer: 'bytes' }), 256), 10)
  assert.equal(queuePoints(queue({ queue_size: 7, sizer: 'items' }), 256), 7)
  assert.equal(queuePoints(queue({ queue_size: 3 }), 256), 15_000)
  assert.equal(queuePoints(queue({ queue_size: 1_000_000 }), 256), MAX_QUEUE_BYTES / 256)
  assert.equal(queuePoints(queue({ enabled: false }), 256), 0)
})

test('what we ship is valid, alone and laid over one another', () => {
  const ours = ['otel-config/collector/leadline-to-collector.yaml', 'otel-config/agent.yaml']
  for (const configs of [[ours[0] ?? ''], [...ours].reverse()]) {
    const { complaints, warnings } = examine({ configs, sets: [], environment: {} }, components)
    assert.deepEqual([...complaints, ...warnings].map(complaintText), [])
  }
})

test('what agent.yaml says of OTLP is valid once its #s are gone', () => {
  const shipped = readFileSync('otel-config/agent.yaml', 'utf8')
  const switched = shipped
    .replace(
      /^ {2}# (otlp_grpc:\n)((?: {2}# {3}.*\n)+)/m,
      (_, head, body) => `  ${head}${body.replaceAll(/^ {2}# {3}/gm, '    ')}`,
    )
    .replace('exporters: [prometheus, debug]', 'exporters: [prometheus, debug, otlp_grpc]')
  const { complaints, warnings, tree } = examined(switched, { TOKEN: 'x' })
  assert.deepEqual([...complaints, ...warnings].map(complaintText), [])
  const { exporters } = parse(print(tree, components, { format: 'yaml', mode: 'redacted' }))
  assert.deepEqual(Object.keys(exporters.otlp_grpc), ['endpoint', 'tls', 'headers'])
  assert.ok(globSync('otel-config/collector/*.yaml').length >= 2)
})
