// Any bytes as a configuration: complaints, never a crash, and never for long.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError } from '../../../otel-config/config/complaints.ts'
import { examine } from '../../../otel-config/config/load.ts'
import { components } from './given.ts'

const SEEDS = [
  `receivers:
  cgroup: {collection_interval: 5s, metrics: {container.cpu.usage: {enabled: false}}}
  icmp_latency: &a
    targets: [{address: "::1", label: x}, {address: b}]
    <<: {mode: raw}
exporters: {debug: {verbosity: basic}, otlp: {endpoint: "\${env:A:-b}", headers: {a: "$$\${B}"}}}
service: {extensions: [], pipelines: {metrics: {receivers: [cgroup, icmp_latency], exporters: [debug, otlp]}}}
`,
]
const PIECES = [
  '*a',
  '&a ',
  '<<: ',
  '${',
  '}',
  '${env:A}',
  '$$',
  '\t',
  '\n',
  '\n  ',
  ': ',
  '- ',
  '? ',
  '[',
  ']',
  '{',
  '}',
  '"',
  "'",
  '|',
  '>',
  '!!',
  '%',
  '---\n',
  '#',
  '\0',
  '\ufeff',
  '\ud800',
  '__proto__: 1',
  'constructor: {}',
  '1e999',
  '.nan',
  '0x',
  '~',
  ',',
]

/** Numerical Recipes' generator: the same mutations on every machine. */
function random(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function mutated(text: string, next: (below: number) => number): string {
  let result = text
  for (let left = 1 + next(6); left > 0; left--) {
    const at = next(result.length + 1)
    const cut = next(4) === 0 ? next(30) : 0
    const piece = next(5) === 0 ? String.fromCharCode(next(0x300)) : (PIECES[next(PIECES.length)] ?? '')
    result = result.slice(0, at) + piece.repeat(next(8) === 0 ? 50 : 1) + result.slice(at + cut)
  }
  return result
}

test('fifteen hundred damaged configurations are each accepted or complained of', () => {
  const next = random(4711)
  const outcomes = { fine: 0, refused: 0 }
  for (let round = 0; round < 1500; round++) {
    const text = mutated(SEEDS[next(SEEDS.length)] ?? '', next)
    const before = process.cpuUsage()
    const environment = { FILE: text, A: next(2) === 0 ? mutated('[${A}]', next) : 'x' }
    const { config, complaints } = examine({ configs: ['env:FILE'], sets: [], environment }, components)
    assert.equal(config === undefined, complaints.length > 0, text)
    if (config === undefined)
      assert.match(new ConfigError(complaints).message, /\d+ problems?\. Nothing was started\.$/)
    outcomes[config === undefined ? 'refused' : 'fine']++
    // Of processor time, because on a busy machine the other kind says nothing.
    const ms = process.cpuUsage(before).user / 1000
    assert.ok(ms < 5000, `took ${ms} ms: ${JSON.stringify(environment)}`)
  }
  // Both have to occur, or the mutations are too weak or too strong to tell anything.
  assert.ok(outcomes.fine > 5 && outcomes.refused > 500, JSON.stringify(outcomes))
})

test('random bytes are no configuration', () => {
  const next = random(42)
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(Array.from({ length: next(400) }, () => next(256)))
    const environment = { FILE: bytes.toString('latin1') }
    const { config } = examine({ configs: ['env:FILE'], sets: [], environment }, components)
    assert.equal(config, undefined)
  }
})

const LARGE: Readonly<Record<string, string>> = {
  'opening brackets': '['.repeat(200_000),
  'opening braces': '{a: '.repeat(200_000),
  dashes: '- '.repeat(200_000),
  'question marks': '? '.repeat(200_000),
  colons: ': '.repeat(200_000),
  'twenty thousand keys': Array.from({ length: 20_000 }, (_, at) => `k${at}: 1`).join('\n'),
  'a staircase': Array.from({ length: 1000 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'),
  'two megabytes': 'a'.repeat(2_000_000),
  'a billion laughs': [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefghi'.split('').map((name, at) => {
      const before = `*${'abcdefgh'[at]}`
      return `${name}: &${name} [${Array(9).fill(before).join(',')}]`
    }),
  ].join('\n'),
}

for (const [what, text] of Object.entries(LARGE)) {
  test(`${what} end within ten seconds of processor time`, () => {
    const before = process.cpuUsage()
    const { complaints } = examine({ configs: ['env:FILE'], sets: [], environment: { FILE: text } }, components)
    assert.ok(complaints.length > 0)
    assert.ok(process.cpuUsage(before).user < 10_000_000)
  })
}

test('names from the prototype are keys like others', () => {
  const text = 'receivers: {cgroup: {__proto__: {a: 1}, constructor: 1}}\n__proto__: {}\nexporters: {toString: }'
  const { complaints } = examine({ configs: ['env:FILE'], sets: [], environment: { FILE: text } }, components)
  const messages = complaints.map(({ message }) => message.replace(/ \(.*/, ''))
  for (const name of [
    'has invalid keys: __proto__',
    'has invalid keys: constructor',
    'unknown type: "toString" for id: "toString"',
  ]) {
    assert.ok(messages.includes(name), `${name} in ${messages.join('\n')}`)
  }
})
