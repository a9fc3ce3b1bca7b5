// Several configurations laid over each other, and printed again.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { examine, load, readUnchecked } from '../../../otel-config/config/load.ts'
import { print } from '../../../otel-config/config/print.ts'
import { toPlain } from '../../../otel-config/config/tree.ts'
import { components } from './given.ts'

const BASE = `receivers: {cgroup: {collection_interval: 5s, timeout: 3s}, icmp_latency: }
processors: {container_attribution: }
exporters: {debug: }
service:
  pipelines: {metrics: {receivers: [cgroup, icmp_latency], processors: [container_attribution], exporters: [debug]}}
`

function merged(configs: readonly string[], sets: readonly string[] = []): unknown {
  const environment = Object.fromEntries(configs.map((text, at) => [`FILE${at}`, text]))
  return toPlain(readUnchecked({ configs: configs.map((_, at) => `env:FILE${at}`), sets, environment }))
}

test('maps are merged, lists and single values are replaced', () => {
  assert.deepEqual(merged(['a: {x: 1, y: [1, 2], z: {p: 1}}', 'a: {y: [3], z: {q: 2}}', 'a: {x: 4}']), {
    a: { x: 4, y: [3], z: { p: 1, q: 2 } },
  })
})

test('nothing behind a key wipes what an earlier file said, and {} does not', () => {
  assert.deepEqual(merged(['a: {x: 1}', 'a:']), { a: null })
  assert.deepEqual(merged(['a: {x: 1}', 'a: {}']), { a: { x: 1 } })
  assert.deepEqual(merged(['a: {x: 1}', 'a:', 'a: {y: 2}']), { a: { y: 2 } })
})

test('--set wins over every file, the last one over the others, and takes any YAML', () => {
  assert.deepEqual(merged(['a: {b: {c: 1}, d: 2}'], ['a.b.c=2', 'a.b.c=3', 'a.e=[1, x]', 'f=']), {
    a: { b: { c: 3 }, d: 2, e: [1, 'x'] },
    f: null,
  })
})

test('yaml: takes nested keys on one line, with dots in them', () => {
  const wanted = { configs: ['env:A', 'yaml:a::b.c::d: 7'], sets: [], environment: { A: 'a: {x: 1}' } }
  assert.deepEqual(toPlain(readUnchecked(wanted)), { a: { x: 1, 'b.c': { d: 7 } } })
})

test('anchors and merge keys are laid out', () => {
  assert.deepEqual(merged(['x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\nz:\n  <<: [{b: 4}, *x]']), {
    x: { a: 1, b: 2 },
    y: { a: 1, b: 3 },
    z: { a: 1, b: 4 },
  })
})

test('a variable of one file is replaced after the merge', () => {
  assert.deepEqual(merged(['a: ${env:NOT_SET_ANYWHERE:-1}', 'b: 2'], ['a=3']), { a: 3, b: 2 })
})

test('complaints of all sources come together, in their order', () => {
  const wanted = {
    configs: ['/nowhere/a.yaml', 'yaml:a: [', 'env:NOT_SET', 'https://example.org/x.yaml'],
    sets: ['nonsense'],
    environment: {},
  }
  assert.deepEqual(
    examine(wanted, components).complaints.map(({ place, message }) => `${place.source}: ${message.slice(0, 30)}`),
    [
      '--config /nowhere/a.yaml: unable to read the file file:/',
      'yaml:a: [: is not valid YAML: flow sequen',
      '--config env:NOT_SET: environment variable "NOT_SET"',
      '--config https://example.org/x.yaml: scheme "https" is not supporte',
      '--set nonsense: missing equal sign: write --se',
    ],
  )
})

test('settings get their defaults, durations in milliseconds', () => {
  const wanted = { configs: ['env:BASE'], sets: ['receivers.cgroup.initial_delay=1m30s'], environment: { BASE } }
  const { config, warnings } = load(wanted, components)
  assert.deepEqual(warnings, [])
  assert.deepEqual(config.receivers.get('cgroup')?.settings, {
    collection_interval: 5000,
    initial_delay: 90_000,
    timeout: 3000,
    metrics: {},
  })
  assert.deepEqual(config.receivers.get('icmp_latency')?.own, {
    targets_per_container: 20,
    interval: 1000,
    mode: 'auto',
    ratio: 0.5,
    ipv6: true,
    targets: [],
    limit: 'auto',
  })
  assert.equal(config.service.telemetry.logs.level, 'info')
})

const SECRETIVE = `${BASE.replace('debug: ', 'debug: , otlp/x: {endpoint: "h:1", bearer: b, headers: {a: "1"}, tls: {key_pem: k}}')}
  telemetry: {resource: {price: "5 $$ \${env:N}", key: }}
`

test('what is printed can be read again, and is the same', () => {
  const environment = { FILE: SECRETIVE, N: '0123' }
  const first = load({ configs: ['env:FILE'], sets: [], environment }, components)
  for (const format of ['yaml', 'json'] as const) {
    const text = print(first.tree, components, { format, mode: 'unredacted' })
    const again = load({ configs: ['env:FILE'], sets: [], environment: { FILE: text } }, components)
    assert.deepEqual(toPlain(again.tree), toPlain(first.tree))
    assert.deepEqual(again.config.exporters.get('otlp/x')?.own, first.config.exporters.get('otlp/x')?.own)
    assert.deepEqual(again.config.service, first.config.service)
  }
  assert.equal(first.config.service.telemetry.resource.price, '5 $ 0123')
})

test('secrets are printed only on demand', () => {
  const { tree } = load({ configs: ['env:FILE'], sets: [], environment: { FILE: SECRETIVE } }, components)
  const redacted = parse(print(tree, components, { format: 'yaml', mode: 'redacted' }))
  assert.deepEqual(redacted.exporters['otlp/x'], {
    endpoint: 'h:1',
    bearer: '[REDACTED]',
    headers: { a: '[REDACTED]' },
    tls: { key_pem: '[REDACTED]' },
  })
  const open = parse(print(tree, components, { format: 'yaml', mode: 'unredacted' }))
  assert.deepEqual(open.exporters['otlp/x'].headers, { a: '1' })
})
