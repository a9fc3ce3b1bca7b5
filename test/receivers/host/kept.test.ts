// What a receiver leaves over a reload is taken by one of the same id and settings, or closed: never both, never neither.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createKept } from '../../../receivers/host/kept.ts'

function thing() {
  const one = { closed: 0, close: () => void one.closed++ }
  return one
}

test('what was left is taken once, by whoever has the same settings', () => {
  const kept = createKept()
  const left = thing()
  kept.leave('tcp_connections', { source: 'bpf', networks: ['10.0.0.0/8'] }, left)
  assert.equal(kept.take('tcp_connections/other', { source: 'bpf', networks: ['10.0.0.0/8'] }), undefined)
  assert.equal(kept.take('tcp_connections', { source: 'bpf', networks: ['10.0.0.0/8'] }), left)
  assert.equal(kept.take('tcp_connections', { source: 'bpf', networks: ['10.0.0.0/8'] }), undefined)
  kept.closeAll()
  assert.equal(left.closed, 0)
})

test('other settings, a second one and the end close it', () => {
  const kept = createKept()
  const [first, second, third] = [thing(), thing(), thing()]
  kept.leave('a', { ports: '' }, first)
  assert.equal(kept.take('a', { ports: '1-2' }), undefined)
  kept.leave('b', {}, second)
  kept.leave('b', {}, third)
  kept.closeAll()
  kept.closeAll()
  assert.deepEqual([first.closed, second.closed, third.closed], [1, 1, 1])
})
