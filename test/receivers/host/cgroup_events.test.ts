// What the kernel program reports of control groups, as it lays it out, and damaged.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeCgroupEvents } from '../../../receivers/host/cgroup_events.ts'
import { randomFrom } from '../../random.ts'

/** struct cgroup_event of bpf/cgroup_events.bpf.c with its length in front: u64 id, u64 at_ns, u16 kind, u16 length, u32. */
function record(id: bigint, path: string, kind = 1, atNs = 5_000_000_000n): Buffer {
  const text = Buffer.from(path)
  const bytes = Buffer.alloc(28 + text.length)
  bytes.writeUInt32LE(24 + text.length)
  bytes.writeBigUInt64LE(id, 4)
  bytes.writeBigUInt64LE(atNs, 12)
  bytes.writeUInt16LE(kind, 20)
  bytes.writeUInt16LE(text.length, 22)
  text.copy(bytes, 28)
  return bytes
}

test('made and removed, with id, path and time, in their order', () => {
  const bytes = Buffer.concat([record(4711n, '/docker/a'), record(4711n, '/docker/a', 2, 6n), record(1n, '/größe 😀')])
  const { events, damaged } = decodeCgroupEvents(bytes)
  assert.equal(damaged, 0)
  assert.deepEqual(
    events.map(({ kind, id, path, cut, atNs }) => [kind, id, path, cut, atNs]),
    [
      ['made', 4711, '/docker/a', false, 5_000_000_000n],
      ['removed', 4711, '/docker/a', false, 6n],
      ['made', 1, '/größe 😀', false, 5_000_000_000n],
    ],
  )
  assert.deepEqual(decodeCgroupEvents(Buffer.alloc(0)), { events: [], damaged: 0 })
})

test('a path that the kernel may have cut says so', () => {
  const cut = (length: number) => decodeCgroupEvents(record(1n, `/${'x'.repeat(length - 1)}`)).events[0]?.cut
  assert.deepEqual([cut(1022), cut(1023), cut(1024)], [false, true, undefined])
})

test('what is no such record is counted, and the ones after it are read', () => {
  const wrong = record(1n, '/a', 3)
  const short = Buffer.from([3, 0, 0, 0, 1, 2, 3])
  const { events, damaged } = decodeCgroupEvents(Buffer.concat([wrong, short, record(2n, '/b')]))
  assert.deepEqual([events.map(({ path }) => path), damaged], [['/b'], 2])
  assert.equal(decodeCgroupEvents(record(1n, '')).damaged, 1)
})

test('records cut anywhere give those that are whole', () => {
  const both = Buffer.concat([record(1n, '/a'), record(2n, '/b')])
  for (let length = 1; length < both.length; length++) {
    const { events, damaged } = decodeCgroupEvents(both.subarray(0, length))
    assert.equal(events.length, length < both.length / 2 ? 0 : 1)
    assert.equal(damaged, length === both.length / 2 ? 0 : 1)
  }
})

test('a million damaged records are answered in time, and none is lost silently', () => {
  const next = randomFrom(19)
  const bytes = Buffer.concat(Array.from({ length: 4 }, (_, i) => record(BigInt(i), `/docker/${i}`)))
  const startMs = performance.now()
  for (let i = 0; i < 250_000; i++) {
    const at = next(bytes.length)
    const was = bytes[at] ?? 0
    bytes[at] = next(256)
    const { events, damaged } = decodeCgroupEvents(bytes)
    if (events.length + damaged === 0) assert.fail(`${i}: neither told nor counted`)
    for (const { id, path } of events) if (id < 0 || path === '' || path.length > 1023) assert.fail(`${i}: ${path}`)
    bytes[at] = was
  }
  for (let i = 0; i < 20_000; i++) decodeCgroupEvents(Buffer.from(Array.from({ length: next(120) }, () => next(256))))
  assert.ok(performance.now() - startMs < 60_000)
})
