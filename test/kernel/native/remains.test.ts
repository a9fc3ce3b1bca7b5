// Nothing of ours stays in the kernel: closed, forgotten, in a worker that ended, in a process that was killed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { openEcho, openTaskstats } from '../../../native/index.ts'
import { requires } from '../../requires.ts'
import { buildLoader, heldByUs, holdAll, inTheKernel, remains } from './loader.ts'

const needs = requires('root', 'bpf', 'addon')
let object: Buffer
before(() => {
  if (!needs.skip) object = buildLoader()
})

const openDescriptors = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /bpf|socket|eventpoll/.test(readlinkSync(`/proc/self/fd/${fd}`))
    } catch {
      return false // the descriptor of the listing itself
    }
  }).length

/** Loads in a thread or a process of its own (this file's folder knows how), which tells the ids it holds. */
const holder = fileURLToPath(new URL('./holder.ts', import.meta.url))

test('close leaves neither a descriptor nor anything in the kernel', needs, async () => {
  const before = openDescriptors()
  const loaded = holdAll(object)
  const ids = heldByUs()
  const listed = inTheKernel()
  for (const kind of ['prog', 'map', 'link']) {
    const ours = [...ids].filter((id) => id.startsWith(kind))
    assert.ok(ours.length > 0 && ours.every((id) => listed.has(id)), `${kind}: bpftool sees ours`)
  }
  loaded.close()
  assert.equal(openDescriptors(), before)
  assert.deepEqual(await remains(ids), [])
})

test('taskstats closes its sockets, also when registering was refused', needs, () => {
  const before = openDescriptors()
  const taskstats = openTaskstats()
  assert.throws(() => taskstats.listen('rubbish', 4096), { code: 'EINVAL' })
  assert.equal(openDescriptors(), before + 1)
  taskstats.listen('0', 4096)
  assert.equal(openDescriptors(), before + 2)
  taskstats.close()
  assert.equal(openDescriptors(), before)
})

test('echo closes its sockets and ends its thread', needs, () => {
  const threads = () => readdirSync('/proc/self/task').length
  const before = [openDescriptors(), threads()]
  const echo = openEcho()
  const { socket } = echo.open(4, 'raw', 1)
  echo.open(6, 'raw', 1)
  assert.deepEqual([openDescriptors(), threads()], [(before[0] ?? 0) + 4, (before[1] ?? 0) + 1])
  echo.shut(socket)
  assert.equal(openDescriptors(), (before[0] ?? 0) + 3)
  echo.close()
  echo.close()
  assert.deepEqual([openDescriptors(), threads()], before)
  assert.throws(() => echo.drain(), /closed/)
})

test('what nobody refers to any more is collected and closed', needs, async () => {
  const before = openDescriptors()
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const ids = (() => {
    holdAll(object)
    openTaskstats().listen('0', 4096)
    return heldByUs()
  })()
  for (const deadlineMs = Date.now() + 10_000; openDescriptors() > before && Date.now() < deadlineMs; await sleep(10))
    collect()
  assert.equal(openDescriptors(), before)
  assert.deepEqual(await remains(ids), [])
})

test('a worker that ends leaves nothing behind', needs, async () => {
  const before = openDescriptors()
  const worker = new Worker(holder, { workerData: object })
  const [ids] = (await once(worker, 'message')) as [string[]]
  assert.ok(ids.length >= 4)
  await worker.terminate()
  assert.equal(openDescriptors(), before)
  assert.deepEqual(await remains(new Set(ids)), [])
})

test('a process that is killed leaves nothing behind', needs, async () => {
  const child = spawn(process.execPath, [holder], {
    env: { ...process.env, OBJECT: object.toString('base64') },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  try {
    const [ids] = (await once(child, 'message')) as [string[]]
    assert.ok(ids.length >= 4)
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.deepEqual(await remains(new Set(ids)), [])
  } finally {
    child.kill('SIGKILL')
  }
})
