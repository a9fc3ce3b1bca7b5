// Pods through the CRI of a real containerd: their text files are found by the bundle and read by stream and flag.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { atEnd } from '../ending.ts'
import { faults, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { startCri } from './cri.ts'

async function start(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-pods-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'image/bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(folder, 'image/bin/busybox'))
  for (const applet of ['sh', 'sleep']) symlinkSync('busybox', join(folder, 'image/bin', applet))
  copyFileSync(buildTool('log_writer'), join(folder, 'image/bin/log_writer'))
  const cri = await startCri(t, execFileSync('tar', ['-C', join(folder, 'image'), '-c', '.'], { maxBuffer: 1 << 28 }))
  return { folder, cri }
}

test('every line of a pod comes once, its long ones joined', requires('root', 'addon', 'containerd'), async (t) => {
  const { folder, cri } = await start(t)
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

test('pods are chosen by annotation and by runtime', requires('root', 'addon', 'containerd'), async (t) => {
  const { folder, cri } = await start(t)
  const choices = {
    annotation: { include: { annotations: { 'leadline.test/logs': '^yes$' } } },
    runtime: { include: { runtimes: ['containerd'] }, exclude: { names: ['^/k8s/leadline-logs/second-'] } },
  }
  const ledger = (label: string) => join(folder, `${label}.ledger`)
  for (const [label, choice] of Object.entries(choices)) {
    const config = { storage: join(folder, label), journald: { enabled: false }, ...choice }
    const reader = await startReader({ ledger: ledger(label), config })
    atEnd(t, () => void reader.kill('SIGKILL'))
  }
  const run = async (name: string, logs: string) => {
    const annotations = { 'leadline.test/logs': logs }
    const pod = { namespace: 'leadline-logs', name, uid: randomUUID(), annotations }
    return cri.run(pod, 'app', ['/bin/sh', '-c', 'log_writer 10 0; sleep 100'])
  }
  const pods = {
    first: await run('first-0', 'no'),
    second: await run('second-0', 'yes'),
    third: await run('third-0', 'yes'),
  }
  const lines = (label: string) => {
    const seen = readLedger(ledger(label))
    return Object.values(pods).map(({ cgroup }) => seen.get(`${cgroup} stdout/stderr`)?.lines ?? 0)
  }
  // Each pod is found by itself, and in no order.
  const wanted = { annotation: [0, 10, 10], runtime: [10, 0, 10] }
  const seen = () => ({ annotation: lines('annotation'), runtime: lines('runtime') })
  await until('all have been read', () => isDeepStrictEqual(seen(), wanted)).catch(() => {})
  assert.deepEqual(seen(), wanted)
})
