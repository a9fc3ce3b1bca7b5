import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanLabelName, cleanLabels, cleanText, labelKey } from '../../processors/labels.ts'

test('label names become what Prometheus takes, and one that it takes is left alone', () => {
  const names: readonly [given: string, cleaned: string][] = [
    ['container_id', 'container_id'],
    ['container.id', 'container_id'],
    ['camelCase', 'camelCase'],
    ['a..b', 'a_b'],
    ['a__b', 'a_b'],
    ['__name__', '_name_'],
    ['0digit', 'key_0digit'],
    ['', 'key_'],
    ['köln', 'k_ln'],
    ['日本', '_'],
    ['a"b', 'a_b'],
    ['a\nb', 'a_b'],
    ['a{b="c"}', 'a_b_c_'],
    ['😀', '_'],
    ['_', '_'],
  ]
  for (const [given, cleaned] of names) assert.equal(cleanLabelName(given), cleaned, JSON.stringify(given))
})

test('names that become the same share one label, with the values in the order of the original names', () => {
  const { attributes, changed } = cleanLabels(
    { a_b: 'third', 'a.b': 'second', 'a-b': 'first', other: 'x' },
    'prometheus',
    1024,
  )
  assert.deepEqual(attributes, { a_b: 'first;second;third', other: 'x' })
  assert.equal(changed, 2)
})

test('OpenTelemetry names keep their dots', () => {
  const given = Object.freeze({ 'net.addr': '10.0.0.1', net_addr: '10.0.0.2' })
  assert.equal(cleanLabels(given, 'otel', 1024).attributes, given)
})

test('an attribute called __proto__ is an attribute', () => {
  const given = Object.fromEntries([
    ['__proto__', 'x'],
    ['long', 'y'.repeat(20)],
  ])
  const { attributes } = cleanLabels(given, 'otel', 16)
  assert.deepEqual(Object.entries(attributes), [
    ['__proto__', 'x'],
    ['long', 'y'.repeat(16)],
  ])
})

test('half a character of UTF-16 becomes the replacement character', () => {
  assert.equal(cleanText('a\ud800b', 1024), 'a\ufffdb')
  assert.equal(cleanText('\udc00', 1024), '\ufffd')
  assert.equal(cleanText('😀', 1024), '😀')
})

test('a long value is cut between characters, never inside one', () => {
  for (const character of ['a', 'ß', '€', '😀']) {
    const bytes = Buffer.byteLength(character)
    for (let offset = 0; offset < 4; offset++) {
      const cut = cleanText('x'.repeat(offset) + character.repeat(1024), 1024)
      assert.ok(cut.isWellFormed() && !cut.includes('\ufffd'), character)
      assert.ok(Buffer.byteLength(cut) <= 1024 && Buffer.byteLength(cut) > 1024 - bytes, character)
    }
  }
  assert.equal(cleanText('x'.repeat(1024), 1024).length, 1024)
})

test('a key tells label sets apart and does not see their order', () => {
  assert.equal(labelKey({ a: '1', b: '2' }, 'otel'), labelKey({ b: '2', a: '1' }, 'otel'))
  const different = [{}, { a: '' }, { a: 'b' }, { ab: '' }, { a: '1:b' }, { a: '', b: '' }, { a: '1:b0:' }, { a: ':b' }]
  const keys = new Set(different.map((attributes) => labelKey(attributes, 'otel')))
  assert.equal(keys.size, different.length)
})

test('to Prometheus an empty label is an absent one', () => {
  assert.equal(labelKey({ a: '1', app_id: '' }, 'prometheus'), labelKey({ a: '1' }, 'prometheus'))
  assert.notEqual(labelKey({ a: '1', app_id: '' }, 'otel'), labelKey({ a: '1' }, 'otel'))
})

test('labels that change later do not change what was interned', () => {
  const scratch = { device: 'sda' }
  const { attributes } = cleanLabels(scratch, 'otel', 1024)
  scratch.device = 'sdb'
  assert.deepEqual(attributes, { device: 'sda' })
})
