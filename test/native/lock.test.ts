// A file that one agent keeps to itself, whatever namespaces the others are in.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockFile } from '../../native/index.ts'
import { root } from '../../native/paths.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'

test(
  'a lock holds until its process is killed, also in another network namespace',
  requires('root', 'addon'),
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'leadline-lock-'))
    atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
    const path = join(folder, 'file')
    const fd = openSync(path, 'w')
    atEnd(t, () => closeSync(fd))
    // The truth is flock(1)'s.
    const isFree = () => spawnSync('flock', ['--nonblock', path, 'true']).status === 0
    const hold = `import { lockFile } from '${root}/native/index.ts'
    import { openSync } from 'node:fs'
    process.stdout.write(String(lockFile(openSync('${path}', 'r'))))
    setInterval(() => {}, 1000)`
    const holder = spawn('unshare', ['--net', process.execPath, '--input-type=module-typescript', '--eval', hold], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    atEnd(t, () => holder.kill('SIGKILL'))
    const [told] = await once(holder.stdout, 'data')
    assert.equal(String(told), 'true')
    assert.equal(lockFile(fd), false)
    assert.equal(isFree(), false)
    const gone = once(holder, 'exit')
    holder.kill('SIGKILL')
    await gone
    assert.equal(lockFile(fd), true)
    assert.equal(isFree(), false)
    assert.throws(() => lockFile('1' as unknown as number), TypeError)
    assert.throws(() => lockFile(1 << 20), { code: 'EBADF', syscall: 'flock' })
  },
)
