// Writes what people and editors read from the literals that the agent runs by: receivers/README.md and
// otel-config/schema.json. `--check` writes nothing and fails when a file is not what it would be.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { root } from '../native/paths.ts'
import { promName } from '../processors/naming.ts'
import type { Need } from '../receivers/needs.ts'
import type { Metric, ReceiverDefinition } from '../receivers/receiver.ts'
import { type Components, components } from './components.ts'
import { pipelineSettings, receiverSettings, telemetrySettings } from './config/schema.ts'

type Json = Record<string, unknown>
type Properties = Readonly<Record<string, Json>>

/** `1h30m` of milliseconds, as it is written in a configuration. */
export function durationText(ms: number): string {
  if (ms === 0) return '0s'
  const units = [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ] as const
  let left = ms
  return units
    .map(([unit, size]) => {
      const count = unit === 'ms' ? left : Math.floor(left / size)
      left -= count * size
      return count > 0 ? `${count}${unit}` : ''
    })
    .join('')
}

/** As an editor wants it: what may be written, with the defaults in the same words. */
function schemaOf(schema: z.ZodMiniType): Json {
  const { $schema, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const { def } = zodSchema._zod
      if (def.type !== 'default' && def.type !== 'prefault') return
      const { defaultValue } = def as unknown as { defaultValue: unknown }
      const isDuration = jsonSchema.type === 'string' && typeof defaultValue === 'number'
      const isMap = typeof defaultValue === 'object' && defaultValue !== null && !Array.isArray(defaultValue)
      // Those of a map stand at its keys, and here they would be in the code's units.
      if (isMap) delete jsonSchema.default
      else jsonSchema.default = isDuration ? durationText(defaultValue) : (defaultValue as typeof jsonSchema.default)
    },
  }) as Json
  return json
}

const propertiesOf = (json: Json) => (json.properties ?? {}) as Properties

function receiverSchema(definition: ReceiverDefinition): Json {
  const own = schemaOf(definition.config)
  const shared = schemaOf(receiverSettings(definition))
  return { ...own, properties: { ...propertiesOf(shared), ...propertiesOf(own) }, description: definition.summary }
}

/** The JSON Schema of a configuration. */
export function configSchema({ receivers, processors, exporters, extensions }: Components): Json {
  const section = (bodies: readonly { name: string; schema: Json }[]) => ({
    type: ['object', 'null'],
    patternProperties: Object.fromEntries(
      bodies.map(({ name, schema }) => [`^${name}(/.+)?$`, { ...schema, type: ['object', 'null'] }]),
    ),
    additionalProperties: false,
  })
  type Own = { name: string; deprecatedName?: string; summary: string; config: z.ZodMiniType }
  const own = (definitions: readonly Own[]) =>
    section(
      definitions.map(({ name, deprecatedName, summary, config }) => {
        const names = deprecatedName === undefined ? name : `(${name}|${deprecatedName})`
        return { name: names, schema: { ...schemaOf(config), description: summary } }
      }),
    )
  return withVariables({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of leadline',
    type: 'object',
    properties: {
      receivers: section(
        receivers.map((definition) => ({ name: definition.name, schema: receiverSchema(definition) })),
      ),
      processors: own(processors),
      exporters: own(exporters),
      extensions: own(extensions),
      connectors: section([]),
      service: {
        type: 'object',
        properties: {
          extensions: { type: ['array', 'null'], items: { type: 'string' } },
          pipelines: {
            type: 'object',
            patternProperties: { '^metrics(/.+)?$': schemaOf(pipelineSettings) },
            additionalProperties: false,
          },
          telemetry: schemaOf(telemetrySettings),
        },
        additionalProperties: false,
      },
    },
    required: ['receivers', 'exporters', 'service'],
    additionalProperties: false,
  }) as Json
}

/** `${env:…}` may stand for any single value. */
function withVariables(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withVariables)
  if (typeof json !== 'object' || json === null) return json
  const inner: Json = Object.fromEntries(Object.entries(json).map(([key, value]) => [key, withVariables(value)]))
  if (typeof inner.type !== 'string' || !['integer', 'number', 'boolean'].includes(inner.type)) return inner
  const { default: value, ...plain } = inner
  const either = { anyOf: [plain, { type: 'string', pattern: '\\$\\{.+\\}' }] }
  return value === undefined ? either : { ...either, default: value }
}

const HEAD = `# Receivers

What each receiver measures, what it needs of the machine, and how it is set up. Written by \`npm run generate\` from
the receivers themselves: change those, not this.

Every receiver has these settings beside its own:

`

/** The page on all receivers. `sourceOf` gives the text of a file ('' where there is none), whose comments describe settings. */
export function receiversPage(receivers: readonly ReceiverDefinition[], sourceOf: (path: string) => string): string {
  const [first] = receivers
  const shared = first === undefined ? {} : propertiesOf(schemaOf(receiverSettings(first)))
  const named: Properties = { ...shared, metrics: { type: 'map', default: {} } }
  const sharedTable = settingsTable(named, comments(sourceOf('otel-config/config/schema.ts')))
  const parts = receivers
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((receiver) => onReceiver(receiver, sourceOf))
  return [`${HEAD}${sharedTable}`, ...parts].join('\n\n').concat('\n')
}

function onReceiver(receiver: ReceiverDefinition, sourceOf: (path: string) => string): string {
  const { name, summary, stability, needs } = receiver
  const properties = propertiesOf(schemaOf(receiver.config))
  const metrics = Object.entries(receiver.metrics)
  return [
    `## ${name}`,
    summary,
    `Stability: ${stability}.`,
    needs.length === 0 ? 'It needs nothing of the machine that Linux does not always have.' : needsTable(needs),
    Object.keys(properties).length === 0
      ? 'It has no settings of its own.'
      : settingsTable(
          properties,
          comments(['index', 'settings'].map((file) => sourceOf(`receivers/${name}/${file}.ts`)).join('')),
        ),
    metricsTable(metrics),
  ].join('\n\n')
}

const needsTable = (needs: readonly Need[]) =>
  table(
    ['needs', 'because', 'without it', 'fix'],
    needs.map(({ name, why, degrades, fix }) => [code(name), why, degrades, code(fix.replaceAll(/ {2,}/g, ', '))]),
  )

const settingsTable = (properties: Properties, described: ReadonlyMap<string, string>) =>
  table(
    ['setting', 'type', 'default', ''],
    settingsOf(properties).map(([path, json]) => {
      const value = json.default
      const key = path.split('::').at(-1) ?? path
      return [code(path), typeText(json), value === undefined ? '' : code(plainText(value)), described.get(key) ?? '']
    }),
  )

/** With those inside of maps, by their paths. */
const settingsOf = (properties: Properties): [string, Json][] =>
  Object.entries(properties).flatMap(([key, json]) => [
    [key, json],
    ...settingsOf(propertiesOf(json)).map(([path, inner]): [string, Json] => [`${key}::${path}`, inner]),
  ])

const metricsTable = (metrics: readonly (readonly [string, Metric])[]) =>
  table(
    ['metric', 'in Prometheus', 'kind', 'unit', 'attributes', ''],
    metrics.map(([name, { kind, unit, attributes = [], description, enabled }]) => [
      code(name),
      code(promName(name, unit, kind)),
      kind,
      code(unit),
      attributes.map(code).join(', '),
      enabled === false ? `${description} Off unless switched on.` : description,
    ]),
  )

function typeText(json: Json): string {
  if (Array.isArray(json.enum)) return json.enum.map((value) => code(String(value))).join(', ')
  if (Array.isArray(json.anyOf)) return json.anyOf.map((one) => typeText(one as Json)).join(' or ')
  if ('const' in json) return code(String(json.const))
  if (json.description === 'a duration such as 10s or 1m30s') return 'duration'
  const names: Readonly<Record<string, string>> = { array: 'list', object: 'map', integer: 'whole number' }
  const type = String(json.type ?? 'any')
  return names[type] ?? type
}

const plainText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
const code = (text: string) => `\`${text}\``

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** The comments that stand above settings, by key. */
export function comments(source: string): Map<string, string> {
  const found = source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(\w+):/g)
  return new Map(
    Array.from(found, ([, text = '', key = '']) => [key, text.replaceAll(/\s*\n\s*\* ?/g, ' ').trim()] as const),
  )
}

/** JSON as the formatter leaves it: a list on one line where it fits. */
function jsonText(value: unknown, indent = '', taken = 0): string {
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    const line = `[${value.map((item) => jsonText(item, inner)).join(', ')}]`
    if (!line.includes('\n') && indent.length + taken + line.length < 120) return line
    return `[\n${value.map((item) => `${inner}${jsonText(item, inner)}`).join(',\n')}\n${indent}]`
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).filter(([, one]) => one !== undefined)
  if (entries.length === 0) return '{}'
  const lines = entries.map(([key, one]) => {
    const start = `${JSON.stringify(key)}: `
    return `${inner}${start}${jsonText(one, inner, start.length + 1)}`
  })
  return `{\n${lines.join(',\n')}\n${indent}}`
}

/** Path → what has to stand in it. */
export function generated(): ReadonlyMap<string, string> {
  // A default may come from the environment, and that of this machine is nobody else's.
  delete process.env.DOCKER_HOST
  const sourceOf = (path: string) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '')
  return new Map([
    ['receivers/README.md', receiversPage(components.receivers, sourceOf)],
    ['otel-config/schema.json', `${jsonText(configSchema(components))}\n`],
  ])
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return undefined
  }
}

if (import.meta.main) {
  for (const [path, text] of generated()) {
    if (contentOf(path) === text) continue
    if (process.argv.includes('--check')) {
      process.stderr.write(`${path} is not what the receivers say: npm run generate\n`)
      process.exitCode = 1
    } else writeFileSync(join(root, path), text)
  }
}
