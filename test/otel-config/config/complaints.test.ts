// What somebody wrote is repeated to him: without harm to his terminal, and without his secrets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complaintText, placeText } from '../../../otel-config/config/complaints.ts'
import { examine } from '../../../otel-config/config/load.ts'
import { components } from './given.ts'
import { cgroup, FINE, said } from './mistakes.ts'

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

test('secrets that were typed or stand in an address are not repeated', () => {
  const saidOf = (...sets: string[]) => {
    const wanted = { configs: ['env:FILE'], sets, environment: { FILE: FINE } }
    return examine(wanted, components).complaints.map((one) => `${placeText(one.place)} ${complaintText(one)}`)
  }
  const all = [
    ...saidOf('exporters.otlp_grpc.headers=hunter2'),
    ...saidOf('exporters.otlp_grpc.headers.authorization=[hunter2]'),
    ...saidOf('exporters.otlp_grpc.headers={authorization: [hunter2]}'),
    ...saidOf('exporters.otlp_grpc.endpoint=http://me:hunter2@host:4317/x'),
  ]
  assert.ok(all.length >= 4)
  assert.ok(!all.join('\n').includes('hunter2'), all.join('\n'))
})
