// Paths inside another root: links are followed there, and none leads out.
import assert from 'node:assert/strict'
import { closeSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openDirectoryIn, openJournal } from '../../native/index.ts'
import { requires } from '../requires.ts'

test('a link out of the root stays in it', requires('addon'), (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-root-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'root/var/log'), { recursive: true })
  mkdirSync(join(folder, 'outside'))
  writeFileSync(join(folder, 'root/var/log/inside.log'), '')
  const root = join(folder, 'root')
  symlinkSync('/var/log', join(root, 'absolute'))
  symlinkSync('../../../../outside', join(root, 'above'))
  symlinkSync('/proc/self/root', join(root, 'magic'))
  for (const path of ['/var/log', 'var/log', '/absolute', '/../../var/log']) {
    const fd = openDirectoryIn(root, path)
    assert.deepEqual(readdirSync(`/proc/self/fd/${fd}`), ['inside.log'], path)
    closeSync(fd)
  }
  for (const path of ['/above', '/magic', '/none', '/var/log/inside.log']) {
    assert.throws(() => openDirectoryIn(root, path), { syscall: 'openat2' }, path)
  }
  assert.throws(() => openDirectoryIn(root, 'a\0b'), { code: 'EINVAL' })
  assert.throws(() => openDirectoryIn(root, 7 as unknown as string), TypeError)
})

test('a journal that is not there is an error, and so are wrong arguments', requires('addon'), () => {
  const fields = ['MESSAGE']
  assert.throws(() => openJournal({ directory: '/nowhere', fields, start: 'tail' }), { code: 'ENOENT' })
  assert.throws(() => openJournal({ fields: 'MESSAGE' as unknown as string[], start: 'tail' }), TypeError)
  const journal = openJournal({ directory: tmpdir(), fields, start: 'head' })
  assert.deepEqual(journal.read(10, 1000), { count: 0, cursor: '', entries: Buffer.alloc(0) })
  assert.throws(() => journal.read(0, 1), TypeError)
  journal.close()
  journal.close()
  assert.throws(() => journal.read(1, 1), /closed/)
})
