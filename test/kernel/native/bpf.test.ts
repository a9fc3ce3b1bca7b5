// One refusal never takes the rest: programs are tried by themselves, with fallbacks.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { before, test } from 'node:test'
import { loadWhatWorks } from '../../../native/bpf.ts'
import { requires } from '../../requires.ts'
import { buildLoader, heldByUs, remains } from './loader.ts'

const needs = requires('root', 'bpf', 'addon')
let object: Buffer
before(() => {
  if (!needs.skip) object = buildLoader()
})

test('where nothing is refused the preferred programs run', needs, () => {
  const groups = { exits: ['works', 'works_too'], list: ['tasks'] }
  const { object: loaded, programs, refused } = loadWhatWorks(object, { groups })
  assert.deepEqual(programs, { exits: 'works', list: 'tasks' })
  assert.deepEqual(refused, [])
  loaded?.close()
})

test('a refused program gives way to the next, and takes neither the others nor a group without any', needs, () => {
  const groups = { exits: ['has_no_hook', 'is_refused', 'works_too'], list: ['tasks'], other: ['is_refused'] }
  const { object: loaded, programs, refused } = loadWhatWorks(object, { groups, mapEntries: { exits: 100 } })
  assert.ok(loaded)
  try {
    assert.deepEqual(programs, { exits: 'works_too', list: 'tasks', other: undefined })
    assert.deepEqual(
      refused.map(({ program, error }) => [program, error.code]),
      [
        ['has_no_hook', 'ESRCH'],
        ['is_refused', 'EACCES'],
        ['is_refused', 'EACCES'],
      ],
    )
    assert.match(refused[0]?.error.log ?? '', /failed to find kernel BTF type ID of 'no_such_tracepoint'/)
    const { pid } = spawnSync('true')
    assert.equal(loaded.lookup('exits', Buffer.from(Uint32Array.of(pid).buffer))?.readBigUInt64LE(), 1n)
    assert.ok(loaded.iterate('tasks').length > 0)
  } finally {
    loaded.close()
  }
})

test('a program that loads but cannot be attached gives way as well', needs, async (t) => {
  if (existsSync('/sys/kernel/tracing/events') || existsSync('/sys/kernel/debug/tracing/events')) {
    return t.skip('tracefs is mounted here, so the tracepoint can be attached')
  }
  const held = heldByUs()
  const groups = { exits: ['needs_tracefs', 'works'] }
  const { object: loaded, programs, refused } = loadWhatWorks(object, { groups })
  assert.equal(programs.exits, 'works')
  assert.match(refused[0]?.error.message ?? '', /^cannot attach the BPF program needs_tracefs: /)
  assert.equal(refused[0]?.error.code, 'ENOENT')
  const ours = new Set([...heldByUs()].filter((id) => !held.has(id)))
  assert.ok(ours.size >= 3, 'a program, maps and a link')
  loaded?.close()
  assert.deepEqual(await remains(ours), [])
})

test('where everything is refused there is no object, and every reason', needs, () => {
  const held = heldByUs()
  const groups = { first: ['has_no_hook'], second: ['is_refused'] }
  const { object: loaded, programs, refused } = loadWhatWorks(object, { groups })
  assert.equal(loaded, undefined)
  assert.deepEqual(programs, { first: undefined, second: undefined })
  assert.deepEqual(
    refused.map(({ program }) => program),
    ['has_no_hook', 'is_refused'],
  )
  assert.deepEqual(heldByUs(), held)
})

test('without the right to load, every program has that reason', needs, () => {
  const script = `
    import { loadWhatWorks } from './native/bpf.ts'
    import { loadBpf } from './native/index.ts'
    try { loadBpf(Buffer.alloc(0), { programs: ['a'] }) } catch {} // the addon itself, while we may read it
    const object = Buffer.from(process.env.OBJECT, 'base64')
    process.setgid(65534)
    process.setuid(65534)
    const { refused } = loadWhatWorks(object, { groups: { exits: ['works', 'works_too'] } })
    console.log(JSON.stringify(refused.map(({ program, error }) => [program, error.code, error.syscall])))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, OBJECT: object.toString('base64') },
  })
  assert.equal(stderr, '')
  assert.deepEqual(JSON.parse(stdout), [
    ['works', 'EPERM', 'bpf'],
    ['works_too', 'EPERM', 'bpf'],
  ])
})

test('a name that the object does not know is a mistake, not a refusal', needs, () => {
  assert.throws(() => loadWhatWorks(object, { groups: { exits: ['wroks', 'works'] } }), { name: 'TypeError' })
})
