import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest } from '../../../otel-config/config/nearest.ts'

const NAMES = ['cgroup', 'delay_accounting', 'tcp_connections', 'otlp_grpc', 'debug']

for (const [typed, meant] of [
  ['cgrup', 'cgroup'],
  ['cgruop', 'cgroup'],
  ['CGroup', 'cgroup'],
  ['delay-acounting', 'delay_accounting'],
  ['tcp_conections', 'tcp_connections'],
  ['otlp_gprc', 'otlp_grpc'],
  ['bug', undefined],
  ['kubernetes', undefined],
  ['', undefined],
] as const) {
  test(`${JSON.stringify(typed)} is taken for ${meant ?? 'nothing we know'}`, () => {
    assert.equal(nearest(typed, NAMES), meant)
  })
}

test('a name of a million letters is not looked up', () => {
  assert.equal(nearest('x'.repeat(1_000_000), NAMES), undefined)
})
