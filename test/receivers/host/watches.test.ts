// Watches where the kernel gives none: what cannot be watched is looked at instead, which is said once, with the remedy.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { watchDirectories } from '../../../receivers/host/watches.ts'
import { atEnd } from '../../ending.ts'
import { until } from '../../until.ts'
import { listeningLog } from '../quiet.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'leadline-watches-'))
  atEnd(t, () => rmSync(path, { recursive: true, force: true }))
  return path
}

test('what happens in a directory is told, also after it was made again, and not after it was let go', async (t) => {
  const root = folder(t)
  const told: string[] = []
  const log = listeningLog()
  const watches = watchDirectories((directory, event, name) => told.push(`${directory} ${event} ${name}`), log)
  atEnd(t, () => watches.close())
  for (let i = 0; i < 3; i++) {
    const web = join(root, 'web')
    mkdirSync(web)
    watches.add(web)
    mkdirSync(join(web, `inner${i}`))
    await until('it is told', () => told.includes(`${web} rename inner${i}`))
    rmSync(web, { recursive: true })
  }
  const other = join(root, 'other')
  mkdirSync(other)
  watches.add(other)
  watches.remove(other)
  mkdirSync(join(other, 'unseen'))
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.ok(!told.some((line) => line.includes('unseen')))
  assert.deepEqual([watches.unwatched.size, log.said.length], [0, 0])
})

test('a directory that is gone needs no watch', (t) => {
  const log = listeningLog()
  const watches = watchDirectories(() => {}, log)
  atEnd(t, () => watches.close())
  watches.add(join(folder(t), 'gone'))
  assert.deepEqual([watches.unwatched.size, log.said.length], [0, 0])
})

test('without watches to be had, the tree is kept by looking, and it is said once with the remedy', () => {
  // A user namespace of its own, in which the kernel grants ten watches. Only user.* is the namespace's own
  // (namespaces(7)); fs.inotify.* would be everybody's.
  const script = `
    import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
    import { join } from 'node:path'
    import { watchCgroups } from './receivers/host/cgroups.ts'
    const said = []
    const say = (message, fields) => void said.push({ message, ...fields })
    const log = { debug() {}, info() {}, warn: say, error: say }
    const root = mkdtempSync('/tmp/leadline-unwatched-')
    for (let i = 0; i < 30; i++) mkdirSync(join(root, 'before' + i))
    const tree = watchCgroups({ root, rememberMs: 60000, bootMs: 0, log })
    const counts = []
    const count = async () => { await tree.refresh(); counts.push([...tree.living()].length) }
    await count()
    for (let i = 0; i < 30; i++) mkdirSync(join(root, 'before' + i, 'later'))
    await count()
    for (let i = 0; i < 30; i++) rmSync(join(root, 'before' + i), { recursive: true })
    await count()
    tree.stop()
    rmSync(root, { recursive: true })
    console.log(JSON.stringify({ said, counts }))`
  const limited = 'echo 10 > /proc/sys/user/max_inotify_watches && exec "$@"'
  const command = [
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    limited,
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
  ]
  const everybodys = () => readFileSync('/proc/sys/fs/inotify/max_user_watches', 'latin1')
  const before = everybodys()
  const { stdout, stderr } = spawnSync('unshare', [...command, script], { encoding: 'utf8' })
  assert.equal(everybodys(), before, 'this machine is as it was')
  assert.notEqual(stdout, '', stderr)
  const { said, counts } = JSON.parse(stdout)
  assert.deepEqual(counts, [31, 61, 1])
  assert.equal(said.length, 1, JSON.stringify(said))
  assert.equal(said[0].reason, 'ENOSPC')
  assert.match(said[0].fix, /sysctl fs\.inotify\.max_user_watches/)
})
