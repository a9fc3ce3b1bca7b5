// Taskstats of the real kernel, against /proc/<pid>/schedstat and processes whose end we know.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openTaskstats, type Taskstats } from '../../../native/index.ts'
import { requires } from '../../requires.ts'

const needs = requires('root', 'addon')
const CPU_DELAY_AT = 24 // struct taskstats, the same in all versions
const PID = 1 // TASKSTATS_TYPE_PID, _TGID, _STATS, _AGGR_PID, _AGGR_TGID of <linux/taskstats.h>
const STATS = 3
const AGGR_PID = 4

async function withTaskstats(body: (taskstats: Taskstats) => void | Promise<void>): Promise<void> {
  const taskstats = openTaskstats()
  try {
    await body(taskstats)
  } finally {
    taskstats.close()
  }
}

/** tgid → struct taskstats. */
function answers(bytes: Buffer): Map<number, Buffer> {
  const all = new Map<number, Buffer>()
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4)
    all.set(bytes.readUInt32LE(at), bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return all
}

/** Netlink attributes, type → value. */
function attributes(bytes: Buffer): Map<number, Buffer> {
  const all = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= bytes.length; at += (bytes.readUInt16LE(at) + 3) & ~3) {
    all.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 4, at + bytes.readUInt16LE(at)))
  }
  return all
}

/** pid → struct taskstats, of the exit messages. */
function exits(messages: Buffer): Map<number, Buffer> {
  const all = new Map<number, Buffer>()
  for (let at = 0; at < messages.length; at += 4 + messages.readUInt32LE(at)) {
    const message = attributes(messages.subarray(at + 4, at + 4 + messages.readUInt32LE(at)))
    const task = attributes(message.get(AGGR_PID) ?? Buffer.alloc(0))
    const stats = task.get(STATS)
    if (stats) all.set(task.get(PID)?.readUInt32LE(0) ?? 0, stats)
  }
  return all
}

const possibleCpus = () => readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim()

test('the CPU delay of a process is the run delay of its schedstat', needs, async () => {
  const child = spawn('sh', ['-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; kill -STOP $$'], {
    stdio: 'ignore',
  })
  const pid = child.pid ?? 0
  const stopped = () => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  try {
    for (const deadlineMs = Date.now() + 10_000; !stopped(); await sleep(10)) assert.ok(Date.now() < deadlineMs)
    await withTaskstats((taskstats) => {
      const stats = answers(taskstats.ask(Uint32Array.of(pid))).get(pid)
      assert.ok(stats && stats.length >= 328, `${stats?.length} bytes`)
      const runDelay = BigInt(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1] ?? '')
      assert.ok(runDelay > 0n)
      assert.equal(stats.readBigUInt64LE(CPU_DELAY_AT), runDelay, 'it stands still, so both are the same number')
    })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

test(
  'every living process of the machine is answered, in more than one batch, and the dead are left out',
  needs,
  async () => {
    await withTaskstats((taskstats) => {
      const gone = spawnSync('true').pid
      const living = () =>
        readdirSync('/proc')
          .filter((name) => /^\d+$/.test(name))
          .map(Number)
      const before = living()
      const asked = [gone, ...before, gone]
      // The same question again: more than a batch of them even on a quiet machine.
      const found = answers(taskstats.ask(Uint32Array.from([...asked, ...asked, ...asked])))
      const after = new Set(living())
      for (const pid of before.filter((pid) => after.has(pid))) assert.ok(found.has(pid), `${pid} lived all the time`)
      assert.equal(found.has(gone), false)
      assert.ok(before.length > 10)
    })
  },
)

test('a process that exits is told, with its name and its exit code', needs, async () => {
  await withTaskstats((taskstats) => {
    assert.equal(taskstats.listen(possibleCpus(), 1 << 20), 1 << 20)
    assert.throws(() => taskstats.listen('0', 1 << 20), { message: 'already listening for exiting tasks' })
    const ended = spawnSync('sh', ['-c', 'exit 7'])
    const { messages, overflows, lost } = taskstats.drain()
    const stats = exits(messages).get(ended.pid)
    assert.ok(stats, 'a message about it')
    assert.equal(stats.readUInt32LE(4), 7 << 8, 'ac_exitcode, as wait() has it')
    assert.equal(stats.toString('latin1', 80, 82), 'sh', 'ac_comm')
    assert.deepEqual([overflows, lost], [0, 0])
    assert.equal(exits(taskstats.drain().messages).has(ended.pid), false, 'told once')
  })
})

test('what a full buffer throws away is counted', needs, async () => {
  await withTaskstats((taskstats) => {
    const started = 200
    taskstats.listen(possibleCpus(), 8192)
    const script = `i=0; while [ $i -lt ${started} ]; do /bin/true; i=$((i+1)); done`
    assert.equal(spawnSync('sh', ['-c', script]).status, 0)
    const first = taskstats.drain()
    const told = exits(first.messages).size
    assert.ok(first.overflows >= 1 && told < started, `${first.overflows} overflows, ${told} told`)
    assert.ok(told + first.lost >= started, `${told} told and ${first.lost} lost of ${started}`)
    const after = spawnSync('true').pid
    const second = taskstats.drain()
    assert.ok(exits(second.messages).has(after), 'it goes on after an overflow')
    assert.deepEqual([second.overflows, second.lost], [0, 0])
  })
})

test('without CAP_NET_ADMIN the kernel refuses, and the error says what was attempted', needs, () => {
  const script = `
    import { openTaskstats } from './native/index.ts'
    const tell = (attempt) => { try { attempt() } catch ({ message, code, errno, syscall }) {
      console.log(JSON.stringify({ message, code, errno, syscall }))
    } }
    const taskstats = openTaskstats()
    process.setgid(65534)
    process.setuid(65534)
    tell(() => taskstats.ask(Uint32Array.of(process.pid)))
    tell(() => taskstats.listen('0', 4096))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.equal(stderr, '')
  const [asking, listening] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const refused = { code: 'EPERM', errno: -1, syscall: 'send' }
  assert.deepEqual(asking, {
    ...refused,
    message: 'cannot ask the kernel for taskstats: Operation not permitted (EPERM from send)',
  })
  assert.deepEqual(listening, {
    ...refused,
    message: 'cannot listen for exiting tasks: Operation not permitted (EPERM from send)',
  })
})
