// Pods through the CRI of a real containerd: their text files are found by the bundle and read by stream and flag.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { atEnd } from '../ending.ts'
import { faults, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { startCri } from './cri.ts'

test('every line of a pod comes once, its long ones joined', requires('root', 'addon', 'containerd'), async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-pods-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'image/bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(folder, 'image/bin/busybox'))
  for (const applet of ['sh', 'sleep']) symlinkSync('busybox', join(folder, 'image/bin', applet))
  copyFileSync(buildTool('log_writer'), join(folder, 'image/bin/log_writer'))
  const cri = await startCri(t, execFileSync('tar', ['-C', join(folder, 'image'), '-c', '.'], { maxBuffer: 1 << 28 }))

  const ledger = join(folder, 'ledger')
  const reader = await startReader({
    ledger,
    config: { storage: join(folder, 'storage'), include: { names: ['^/k8s/leadline-logs/'] } },
  })
  atEnd(t, () => void reader.kill('SIGKILL'))
  const pod = { namespace: 'leadline-logs', name: 'writer-0', uid: randomUUID() }
  const { cgroup } = await cri.run(pod, 'app', ['/bin/sh', '-c', 'log_writer 6000 2000; sleep 100'])
  const seen = () => readLedger(ledger).get(`${cgroup} stdout/stderr`)
  await until('some lines came', () => (seen()?.lines ?? 0) > 1000, { deadlineMs: 20_000 })
  // As the kubelet rotates, without the runtime's reopening: what it goes on to write is in the renamed file.
  const log = `/var/log/pods/${pod.namespace}_${pod.name}_${pod.uid}/app/0.log`
  renameSync(log, `${log}.20261125-141433`)
  await until('all lines came', () => seen()?.times.size === 6000, { deadlineMs: 20_000 }).catch(() => {})
  assert.deepEqual(faults(seen(), 6000), { missing: 0, again: 0, damaged: 0 })
})
