// Files under /var/log that containers hold open: in their own layer, on a volume, rotated; and none that is not theirs.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../ending.ts'
import { faults, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

const CLEAN = { missing: 0, again: 0, damaged: 0 }

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-files-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function reading(t: TestContext, folder: string) {
  const ledger = join(folder, 'ledger')
  const include = { names: ['^/docker/leadline-files-'] }
  const child = await startReader({ ledger, config: { storage: join(folder, 'storage'), include } })
  atEnd(t, () => void child.kill('SIGKILL'))
  return {
    seen: (id: string, path: string) => readLedger(ledger).get(`/docker/${id} ${path}`),
    /** Of all that was read of a container. */
    paths: (id: string) =>
      [...readLedger(ledger).keys()].flatMap((key) => (key.startsWith(`/docker/${id} `) ? [key.split(' ')[1]] : [])),
  }
}

for (const how of ['rename', 'copy']) {
  for (const where of ['its own layer', 'a volume']) {
    test(`in ${where}, rotated by ${how}, every line comes once`, requires('root', 'addon', 'docker'), async (t) => {
      const folder = folderOf(t)
      const docker = await startDocker(t, 'files')
      const { seen, paths } = await reading(t, folder)
      const flags = where === 'a volume' ? ['--volume', `${folder}/volume:/var/log/app`] : []
      const write = `mkdir -p /var/log/app; exec log_writer 20000 4000 /var/log/app/app.log 3000 9 ${how}`
      const box = await docker.run('writer', { flags, command: ['sh', '-c', write] })
      const path = '/var/log/app/app.log'
      await until('all lines came', () => seen(box.id, path)?.times.size === 20_000, { deadlineMs: 30_000 }).catch(
        () => {},
      )
      assert.deepEqual(faults(seen(box.id, path), 20_000), CLEAN)
      assert.deepEqual(paths(box.id), [path])
    })
  }
}

test(
  'links out of the container, FIFOs and files of others are left alone',
  requires('root', 'addon', 'docker'),
  async (t) => {
    const folder = folderOf(t)
    const secret = join(folder, 'secret')
    writeFileSync(secret, 'seq=0 x\n'.repeat(100))
    const docker = await startDocker(t, 'files')
    const { seen } = await reading(t, folder)
    // A log whose rotated files are links to what the host has, a directory that is one, and a FIFO.
    const write = `mkdir -p /var/log; cd /var/log
      busybox mkfifo fifo; (sleep 100 > fifo) & (sleep 100 < fifo) &
      busybox ln -s ${secret} app.log.1; busybox ln -s /proc/1/root${secret} link.log
      log_writer 200 50 /var/log/app.log 0 0 rename; sleep 100`
    const box = await docker.run('links', { command: ['sh', '-c', write] })
    await until('its lines came', () => seen(box.id, '/var/log/app.log')?.times.size === 200, { deadlineMs: 20_000 })
    await sleep(1000)
    assert.deepEqual(faults(seen(box.id, '/var/log/app.log'), 200), CLEAN)
    assert.equal(seen(box.id, '/var/log/fifo'), undefined)
    assert.equal(seen(box.id, '/var/log/link.log'), undefined)
    assert.match(execFileSync('docker', ['inspect', '-f', '{{.State.Running}}', box.id], { encoding: 'utf8' }), /true/)
  },
)
