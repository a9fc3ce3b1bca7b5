// The bulk read against Node's own, on the small files of the real kernel that it is made for.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readFiles } from '../../../native/index.ts'
import { requires } from '../../requires.ts'

/** What Node reads, or the negative error number it is told. */
function readByNode(path: string): string | number {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? 0
  }
}

test('hundreds of sysctls read the same as Node reads them, errors included', requires('addon'), () => {
  const steady = ['kernel', 'vm', 'net/ipv4', 'fs']
  const files = steady.flatMap((folder) =>
    readdirSync(join('/proc/sys', folder), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join('/proc/sys', folder, entry.name)),
  )
  const moving = /random|_pid|-state|-nr$|inode|nr_/ // numbers that change between two looks
  const paths = files.filter((path) => !moving.test(path))
  assert.ok(paths.length > 150)
  const { data, ends, errors } = readFiles(paths)
  paths.forEach((path, i) => {
    const read = errors[i] === 0 ? data.toString('latin1', ends[i - 1] ?? 0, ends[i]) : errors[i]
    assert.equal(read, readByNode(path), path)
  })
})

test('a task that is gone is ENOENT or ESRCH, not an exception', requires('addon'), () => {
  const { errors } = readFiles(['/proc/4194304/stat', '/proc/self/stat'])
  assert.ok([-constants.errno.ENOENT, -constants.errno.ESRCH].includes(errors[0] ?? 0))
  assert.equal(errors[1], 0)
})
