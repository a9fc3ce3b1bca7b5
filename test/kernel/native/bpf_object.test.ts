// BPF objects in the real kernel: load, attach, read, drain.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { type BpfError, type BpfObject, type BpfOptions, loadBpf } from '../../../native/index.ts'
import { requires } from '../../requires.ts'
import { buildLoader, heldByUs } from './loader.ts'

const needs = requires('root', 'bpf', 'addon')
let object: Buffer
before(() => {
  if (!needs.skip) object = buildLoader()
})

function withLoaded(options: BpfOptions, body: (loaded: BpfObject) => void): void {
  const loaded = loadBpf(object, options)
  try {
    body(loaded)
  } finally {
    loaded.close()
  }
}

const u32 = (...numbers: number[]) => Buffer.from(Uint32Array.from(numbers).buffer)

/** Runs `true` and returns the pid it had. */
function exitOnce(): number {
  const { pid, status } = spawnSync('true')
  assert.equal(status, 0)
  return pid
}

test('a program on tp_btf sees processes exit, from when it is attached', needs, () => {
  withLoaded({ programs: ['works'] }, (loaded) => {
    const unseen = exitOnce()
    loaded.attach('works')
    loaded.attach('works') // attached already: it does not count twice
    const seen = exitOnce()
    assert.equal(loaded.lookup('exits', u32(unseen)), undefined)
    assert.equal(loaded.lookup('exits', u32(seen))?.readBigUInt64LE(), 1n)
  })
})

test('an iterator gives every task, and may give more than one page', needs, () => {
  withLoaded({ programs: ['tasks', 'says_much'] }, (loaded) => {
    const bytes = loaded.iterate('tasks')
    const tasks = new Set(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4))
    // Not pid 1: on some machines it is kept from everybody, root too.
    const ours = [process.pid, ...readdirSync('/proc/self/task').map(Number)]
    for (const pid of ours) assert.ok(tasks.has(pid), `${pid} is missing`)
    const much = loaded.iterate('says_much')
    assert.equal(much.length % 4096, 0)
    assert.ok(much.length >= 4096 * 20, `${much.length}`)
  })
})

test('constants reach the program in their own width and sign', needs, () => {
  const constants = { wide: 2n ** 64n - 1n, narrow: -32_768, small: 255, sure: 1 }
  withLoaded({ programs: ['told_constants'], constants }, (loaded) => {
    const told = loaded.iterate('told_constants')
    assert.equal(told.readBigUInt64LE(0), 2n ** 64n - 1n)
    assert.equal(told.readBigInt64LE(8), -32_768n)
    assert.deepEqual([told.readUInt32LE(16), told.readUInt32LE(20)], [255, 1])
  })
  withLoaded({ programs: ['told_constants'] }, (loaded) => {
    assert.equal(loaded.iterate('told_constants').readBigUInt64LE(0), 1n, 'the default of the object')
  })
})

for (const [name, value] of [
  ['small', 256],
  ['small', -1],
  ['narrow', 32_768],
  ['narrow', -32_769n],
  ['wide', -1],
  ['sure', 2],
] as const) {
  test(`the constant ${name} does not take ${value}`, needs, () => {
    const message = new RegExp(`the value of the constant ${name} does not fit`)
    assert.throws(() => loadBpf(object, { programs: ['tasks'], constants: { [name]: value } }), {
      name: 'TypeError',
      message,
    })
  })
}

test('names that the object does not know are mistakes, with what it knows', needs, () => {
  const load = (options: BpfOptions) => () => loadBpf(object, options)
  assert.throws(load({ programs: ['wroks'] }), {
    name: 'TypeError',
    message: /no program wroks, but works, works_too, /,
  })
  assert.throws(load({ programs: ['works'], constants: { LICENSE: 1 } }), { message: /no constant LICENSE/ })
  assert.throws(load({ programs: ['works'], mapEntries: { other: 1 } }), { message: /no map other/ })
  withLoaded({ programs: ['works'] }, (loaded) => {
    assert.throws(() => loaded.attach('tasks'), { message: /tasks is not loaded: name it in `programs`/ })
    assert.throws(() => loaded.iterate('works'), { message: /works is not an iterator/ })
    assert.throws(() => loaded.readMap('other'), { message: /no map other/ })
  })
})

test('a map larger than one batch comes whole', needs, () => {
  withLoaded({ programs: ['works'] }, (loaded) => {
    const entries = 60_000
    const key = Buffer.alloc(4)
    const value = Buffer.alloc(8)
    for (let i = 0; i < entries; i++) {
      key.writeUInt32LE(i)
      value.writeUInt32LE(i * 7)
      loaded.update('exits', key, value)
    }
    const { count, keys, values, keySize, valueSize } = loaded.readMap('exits')
    assert.deepEqual([count, keySize, valueSize], [entries, 4, 8])
    assert.deepEqual([keys.length, values.length], [entries * 4, entries * 8])
    const seen = new Set<number>()
    for (let i = 0; i < count; i++) {
      seen.add(keys.readUInt32LE(i * 4))
      assert.equal(values.readUInt32LE(i * 8), keys.readUInt32LE(i * 4) * 7)
    }
    assert.equal(seen.size, entries)
    assert.equal(loaded.remove('exits', keys.subarray(0, 40_000)), 10_000)
    assert.equal(loaded.remove('exits', keys), 50_000, 'those that are gone are not counted')
    assert.equal(loaded.readMap('exits').count, 0)
  })
})

test('a kind of map that the kernel cannot read in batches is read key by key', needs, () => {
  withLoaded({ programs: ['works'] }, (loaded) => {
    assert.equal(loaded.readMap('interfaces').count, 0)
    for (const key of [5, 6, 7]) loaded.update('interfaces', u32(key), u32(1)) // 1 is the loopback
    for (const _ of ['found out', 'remembered']) {
      const { count, keys, values } = loaded.readMap('interfaces')
      assert.equal(count, 3)
      assert.deepEqual(new Set(new Uint32Array(Uint8Array.from(keys).buffer)), new Set([5, 6, 7]))
      assert.deepEqual(values, u32(1, 1, 1))
    }
  })
})

test('a map with one value per CPU gives all of them', needs, () => {
  withLoaded({ programs: ['works'] }, (loaded) => {
    const { valueSize } = loaded.readMap('per_cpu')
    assert.ok(valueSize >= 8 && valueSize % 8 === 0)
    const value = Buffer.alloc(valueSize)
    for (let cpu = 0; cpu < valueSize / 8; cpu++) value.writeUInt32LE(100 + cpu, cpu * 8)
    loaded.update('per_cpu', u32(9), value)
    assert.deepEqual(loaded.readMap('per_cpu').values, value)
    assert.deepEqual(loaded.lookup('per_cpu', u32(9)), value)
  })
})

test('a key or a value of the wrong size never reaches the kernel', needs, () => {
  withLoaded({ programs: ['works'] }, (loaded) => {
    assert.throws(() => loaded.lookup('exits', Buffer.alloc(3)), {
      message: 'a key of the map exits has 4 bytes, not 3',
    })
    assert.throws(() => loaded.update('exits', u32(1), u32(1)), {
      message: 'a value of the map exits has 8 bytes, not 4',
    })
    assert.throws(() => loaded.remove('exits', Buffer.alloc(6)), {
      message: /have 4 bytes each, and 6 is not a multiple/,
    })
  })
})

test('a full map refuses the next key, and mapEntries makes it larger', needs, () => {
  const fill = (loaded: BpfObject) => {
    for (let key = 1; key <= 3; key++) loaded.update('exits', u32(key), Buffer.alloc(8))
  }
  withLoaded({ programs: ['works'], mapEntries: { exits: 2 } }, (loaded) => {
    assert.throws(() => fill(loaded), { code: 'E2BIG', syscall: 'bpf', message: /write to the BPF map exits/ })
  })
  withLoaded({ programs: ['works'], mapEntries: { exits: 3 } }, fill)
})

test('a ring gives every record once, in order, however small the pieces', needs, () => {
  withLoaded({ programs: ['works'] }, (loaded) => {
    loaded.attach('works')
    const pids = Array.from({ length: 30 }, exitOnce)
    for (const maxBytes of [1, 7, 20, 1 << 20]) {
      const drained: number[] = []
      for (let bytes = loaded.drain('ring', maxBytes); bytes.length > 0; bytes = loaded.drain('ring', maxBytes)) {
        assert.ok(bytes.length <= Math.max(maxBytes, 8), 'one record always, else no more than was asked')
        for (let at = 0; at < bytes.length; at += 8) {
          assert.equal(bytes.readUInt32LE(at), 4)
          drained.push(bytes.readUInt32LE(at + 4))
        }
        if (pids.every((pid) => drained.includes(pid))) break
      }
      const ours = drained.filter((pid) => pids.includes(pid))
      assert.deepEqual(ours, pids, 'spawned one after the other')
      pids.splice(0, pids.length, ...Array.from({ length: 30 }, exitOnce))
    }
    assert.throws(() => loaded.drain('ring', 0), { message: /maxBytes must be a whole number/ })
    assert.throws(
      () => loaded.drain('exits', 100),
      (error: BpfError) => error.code === 'EINVAL',
    )
  })
})

test('memory is what fdinfo says of our maps', needs, () => {
  withLoaded({ programs: ['works'], mapEntries: { exits: 10_000 } }, (loaded) => {
    let expected = 0
    for (const fd of readdirSync('/proc/self/fdinfo')) {
      try {
        const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
        if (/^map_id:/m.test(info)) expected += Number(/^memlock:\s*(\d+)/m.exec(info)?.[1])
      } catch {} // the descriptor of the listing itself
    }
    assert.equal(loaded.memory(), expected)
    assert.ok(expected > 10_000 * 12)
  })
})

test('what the verifier refuses is an error with its reason', needs, () => {
  const held = heldByUs()
  assert.throws(
    () => loadBpf(object, { programs: ['works', 'is_refused'] }),
    (error: BpfError) => {
      assert.deepEqual([error.code, error.errno, error.syscall], ['EACCES', -13, 'bpf'])
      assert.match(error.message, /^cannot load the BPF programs works, is_refused: Permission denied/)
      assert.match(error.log ?? '', /R0 invalid mem access 'map_value_or_null'/)
      return true
    },
  )
  assert.deepEqual(heldByUs(), held)
})

test('after close everything but close throws', needs, () => {
  const loaded = loadBpf(object, { programs: ['works', 'tasks'] })
  loaded.close()
  loaded.close()
  const calls = [
    () => loaded.attach('works'),
    () => loaded.iterate('tasks'),
    () => loaded.readMap('exits'),
    () => loaded.lookup('exits', u32(1)),
    () => loaded.drain('ring', 100),
    () => loaded.memory(),
  ]
  for (const call of calls) assert.throws(call, { message: 'this BPF object is closed' })
})
