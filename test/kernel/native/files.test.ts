// The bulk read against Node's own, on the small files of the real kernel that it is made for.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFiles, readFiles } from '../../../native/index.ts'
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

test('open files tell what is new, and a cgroup that is removed meanwhile is ENODEV', requires('root', 'addon'), () => {
  const trees = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup', '/sys/fs/cgroup/pids']
  const tree = trees.find((path) => existsSync(join(path, 'cgroup.procs'))) ?? ''
  const cgroup = mkdtempSync(join(tree, 'leadline-files-'))
  const sleeper = spawn('sleep', ['60'], { stdio: 'ignore' })
  const files = openFiles([join(cgroup, 'cgroup.procs'), join(cgroup, 'absent'), join(cgroup, 'cgroup.procs')])
  try {
    assert.deepEqual(files.read().data.toString(), '')
    writeFileSync(join(cgroup, 'cgroup.procs'), String(sleeper.pid))
    const { data, ends, errors } = files.read()
    assert.equal(data.toString(), `${sleeper.pid}\n${sleeper.pid}\n`)
    assert.deepEqual([...ends], [data.length / 2, data.length / 2, data.length])
    assert.deepEqual([...errors], [0, -constants.errno.ENOENT, 0])

    writeFileSync(join(tree, 'cgroup.procs'), String(sleeper.pid))
    rmdirSync(cgroup) // although its files are open
    const { ENODEV, ENOENT } = constants.errno
    assert.deepEqual([...files.read().errors], [-ENODEV, -ENOENT, -ENODEV])
  } finally {
    sleeper.kill('SIGKILL')
    files.close()
    if (existsSync(cgroup)) rmdirSync(cgroup)
  }
})
