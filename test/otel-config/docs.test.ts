// What is generated from the literals: complete, in the words of a configuration, and up to date.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import * as z from 'zod'
import { components } from '../../otel-config/components.ts'
import { comments, configSchema, durationText, generated } from '../../otel-config/docs.ts'
import { parseDuration } from '../../receivers/duration.ts'

test('durations are written so that they read back the same', () => {
  for (const [ms, text] of [
    [0, '0s'],
    [15_000, '15s'],
    [90_000, '1m30s'],
    [250, '250ms'],
    [3_600_000, '1h'],
    [1.5, '1.5ms'],
  ] as const) {
    assert.equal(durationText(ms), text)
    assert.equal(parseDuration(text), ms)
  }
})

test('comments above settings are found, also over several lines', () => {
  const found = comments(`
  /** How often. */
  interval: z._default(duration(), 1),
  /**
   * Long,
   * longer.
   */
  other_key: z.string(),
  plain: 1`)
  assert.deepEqual(
    [...found],
    [
      ['interval', 'How often.'],
      ['other_key', 'Long, longer.'],
    ],
  )
})

test('every receiver, every metric and every need is on the page', () => {
  const page = generated().get('receivers/README.md') ?? ''
  for (const { name, metrics, needs } of components.receivers) {
    assert.match(page, new RegExp(`^## ${name}$`, 'm'))
    for (const metric of Object.keys(metrics)) assert.ok(page.includes(`| \`${metric}\` |`), metric)
    for (const need of needs) assert.ok(page.includes(need.degrades), need.name)
  }
})

test('the schema accepts the configurations we ship and refuses a slip', () => {
  const schema = z.fromJSONSchema(configSchema(components) as Parameters<typeof z.fromJSONSchema>[0])
  const config = parse(readFileSync('otel-config/agent.yaml', 'utf8'))
  assert.deepEqual(schema.safeParse(config).error, undefined)
  config.receivers.cgroups = null
  assert.equal(schema.safeParse(config).success, false)
})
