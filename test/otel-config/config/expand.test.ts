// The Collector's rules of `${…}` (confmap/expand.go), as a table.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { expand } from '../../../otel-config/config/expand.ts'
import { examine } from '../../../otel-config/config/load.ts'
import { parseYaml } from '../../../otel-config/config/parse.ts'
import { toPlain } from '../../../otel-config/config/tree.ts'
import { components } from './given.ts'

const ENVIRONMENT = {
  NUMBER: '8',
  ZEROS: '0123',
  LIST: '[a, b]',
  EMPTY: '',
  NAME: 'NUMBER',
  MAP: 'x: ${env:NUMBER}',
  PASSWORD: '@pass: [',
  DOLLARS: 'pa$$word',
  TEXT: 'abc${env:NUMBER}',
}

function expanded(text: string, environment: Record<string, string> = ENVIRONMENT) {
  const { tree } = parseYaml(`k: ${JSON.stringify(text)}`, { name: 'a.yaml', order: 0 })
  assert.ok(tree)
  const { tree: result, complaints, warnings } = expand(tree, environment)
  return { value: (toPlain(result) as { k: unknown }).k, complaints, warnings }
}

const TRUTH: readonly (readonly [text: string, value: unknown])[] = [
  ['${env:NUMBER}', 8],
  ['${NUMBER}', 8],
  ['a${NUMBER}b', 'a8b'],
  ['${NUMBER}-${ZEROS}', '8-0123'],
  ['${LIST}', ['a', 'b']],
  ['x${LIST}', 'x[a, b]'],
  ['${EMPTY}', null],
  ['x${EMPTY}y', 'xy'],
  ['x${env:UNSET}y', 'xy'],
  ['${env:UNSET:-def}', 'def'],
  ['${env:UNSET:-a:-b}', 'a:-b'],
  ['${env:UNSET:-}', null],
  ['x${env:UNSET:-}', 'x'],
  ['${env:UNSET:-5}', 5],
  ['${env:EMPTY:-def}', null],
  ['x${env:EMPTY:-def}', 'x'],
  ['${env:UNSET:-${env:NUMBER}}', 8],
  ['${env:${env:NAME}}', 8],
  ['${MAP}', { x: 8 }],
  ['${TEXT}', 'abc8'],
  ['${PASSWORD}', '@pass: ['],
  ['${DOLLARS}', 'pa$word'],
  ['$NUMBER', '$NUMBER'],
  ['$${NUMBER}', '${NUMBER}'],
  ['$$${NUMBER}', '$8'],
  ['$$$${NUMBER}', '$${NUMBER}'],
  ['$${NUMBER} ${NUMBER}', '${NUMBER} 8'],
  ['$$1', '$1'],
  ['$', '$'],
  ['${', '${'],
  ['}', '}'],
  ['} ${NUMBER', '} ${NUMBER'],
  ['${yaml:[1, 2]}', [1, 2]],
]

for (const [text, value] of TRUTH) {
  test(`${text} is ${JSON.stringify(value)}`, () => {
    const result = expanded(text)
    assert.deepEqual(result.complaints, [])
    assert.deepEqual(result.value, value)
  })
}

test('a variable that is not set is warned about, and one that is set but empty is not', () => {
  assert.equal(expanded('${env:UNSET}').warnings.length, 1)
  assert.equal(expanded('${env:EMPTY}').warnings.length, 0)
  assert.equal(expanded('${env:UNSET:-}').warnings.length, 0)
})

const REFUSED: readonly (readonly [text: string, message: RegExp])[] = [
  ['${env:1A}', /environment variable "1A" has invalid name: must match regex/],
  ['${}', /environment variable "" has invalid name/],
  ['${http://example.org/x}', /scheme "http" is not supported .*download the file/],
  ['${https://example.org/x}', /scheme "https" is not supported/],
  ['${fil:x}', /scheme "fil" is not supported for uri "fil:x" \(did you mean file\?\)/],
  ['${env:$NAME}', /contains unsupported characters \('\$'\)/],
  ['${NAME:-x}', /write \$\{env:NAME:-x\}/],
]

for (const [text, message] of REFUSED) {
  test(`${text} is refused`, () => {
    assert.match(expanded(text).complaints[0]?.message ?? '', message)
  })
}

test('variables that hold themselves come to an end', () => {
  for (const text of [
    '${env:X}',
    '[${env:X},${env:X}]',
    '${env:X}${env:X}',
    'a: {b: ${env:X}}',
    `${'x'.repeat(4000)}\${X}`,
    '- ${X}\n'.repeat(50),
    '{a: &a [${X}], b: *a}',
  ]) {
    const { complaints } = expanded('${env:X}', { X: text })
    assert.equal(complaints.length, 1, text)
    for (const { message } of complaints) assert.match(message, /too many recursive expansions|more than 1 MiB/)
  }
})

test('a text setting gets a variable as it was written, a number setting gets the number', () => {
  const file = `receivers: {icmp_latency: {targets_per_container: "\${env:NUMBER}"}}
exporters: {otlp_grpc: {endpoint: "\${env:ZEROS}", headers: {a: "\${env:LIST}"}}}
service: {pipelines: {metrics: {receivers: [icmp_latency], exporters: [otlp_grpc]}}}`
  const environment = { ...ENVIRONMENT, FILE: file }
  const { config, complaints } = examine({ configs: ['env:FILE'], sets: [], environment }, components)
  assert.deepEqual(complaints, [])
  assert.partialDeepStrictEqual(config?.exporters.get('otlp_grpc')?.own, { endpoint: '0123', headers: { a: '[a, b]' } })
  assert.partialDeepStrictEqual(config?.receivers.get('icmp_latency')?.own, { targets_per_container: 8 })
})

test('${file:…} puts in a part, and its mistakes are said with the place in that file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-config-'))
  try {
    writeFileSync(join(folder, 'part.yaml'), 'targets_per_contaner: 3\nmode: "${env:MODE}"\n')
    writeFileSync(join(folder, 'token'), 'abc\n')
    const file = `receivers: {icmp_latency: "\${file:${folder}/part.yaml}"}
exporters: {otlp_grpc: {endpoint: x, headers: {token: "\${file:${folder}/token}"}}}
service: {pipelines: {metrics: {receivers: [icmp_latency], exporters: [otlp_grpc]}}}`
    const environment = { FILE: file, MODE: 'wild' }
    const { complaints } = examine({ configs: ['env:FILE'], sets: [], environment }, components)
    assert.deepEqual(
      complaints.map(({ place, message }) => [place.source, place.line, message]),
      [
        [`${folder}/part.yaml`, 2, 'expected one of auto, raw, dgram, got "wild" (the value of ${env:MODE})'],
        [`${folder}/part.yaml`, 1, 'has invalid keys: targets_per_contaner (did you mean targets_per_container?)'],
      ],
    )
    const fine = { FILE: file.replace('part.yaml', 'none.yaml'), MODE: 'raw' }
    writeFileSync(join(folder, 'none.yaml'), 'mode: "${MODE}"')
    const { config } = examine({ configs: ['env:FILE'], sets: [], environment: fine }, components)
    assert.partialDeepStrictEqual(config?.exporters.get('otlp_grpc')?.own, { headers: { token: 'abc' } })
    assert.partialDeepStrictEqual(config?.receivers.get('icmp_latency')?.own, { mode: 'raw' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
