import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSpacious, watchHeap } from '../../../otel-config/service/heap.ts'

const MIB = 1 << 20
const heap = (heldMib: number, usedMib: number) => ({ total_heap_size: heldMib * MIB, used_heap_size: usedMib * MIB })

test('much more held than used is much by size and by part', () => {
  assert.ok(!isSpacious(heap(22, 15)))
  assert.ok(isSpacious(heap(65, 25)))
  assert.ok(!isSpacious(heap(130, 100)))
  assert.ok(isSpacious(heap(150, 100)))
})

test('memory is saved while a heap is spacious, for a few looks, and then not for as many', (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] })
  let size = heap(20, 15)
  const told: boolean[] = []
  const stop = watchHeap({ everyMs: 1000, size: () => size, save: (isSaving) => void told.push(isSaving) })
  const look = (times: number) => {
    for (let i = 0; i < times; i++) context.mock.timers.tick(1000)
    return told.splice(0)
  }
  assert.deepEqual(look(10), [])
  size = heap(65, 25)
  assert.deepEqual(look(1), [true])
  size = heap(30, 25)
  assert.deepEqual(look(1), [false])
  // One that nothing helps.
  size = heap(65, 25)
  assert.deepEqual(look(4), [true])
  assert.deepEqual(look(1), [false])
  assert.deepEqual(look(3), [])
  stop()
  assert.deepEqual(look(10), [])
})
