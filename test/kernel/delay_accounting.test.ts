// Delays of real processes on the real kernel, against /proc/PID/task/TID/schedstat and against what children said themselves.
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { metrics } from '@opentelemetry/api'
import * as z from 'zod/mini'
import delayAccounting from '../../receivers/delay_accounting/index.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'

const CPU = 'container.resources.cpu.delay'
const needs = requires('root', 'addon', 'bpf')

async function withReceiver(history: boolean, run: (given: Awaited<ReturnType<typeof open>>) => Promise<void>) {
  const given = await open(history)
  try {
    await run(given)
  } finally {
    await given.close()
  }
}

async function open(history: boolean) {
  const log = listeningLog()
  const host = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: 'unix:///nowhere' } }) })
  const context = { host, log, meter: metrics.getMeter('test'), id: 'delay_accounting' }
  const receiver = await delayAccounting.start({ history }, context)
  const made: string[] = []
  const started: ChildProcess[] = []
  return {
    log,
    /** Makes a cgroup; `name` may name one inside another. */
    cgroup(name: string): string {
      const path = join(host.layout.root, `leadline-test-${process.pid}-${name}`)
      mkdirSync(path)
      made.unshift(path)
      return path
    },
    /** Starts a program inside a cgroup. */
    start(cgroup: string, command: string): ChildProcess {
      const child = spawn('sh', ['-c', `echo $$ > ${cgroup}/cgroup.procs && exec ${command}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      started.push(child)
      return child
    },
    /** Seconds per metric of one cgroup, after a collection. */
    async collect(cgroup: string): Promise<Record<string, number>> {
      const path = cgroup.slice(host.layout.root.length)
      const values: Record<string, number> = {}
      await host.refresh(1000)
      await receiver.collect({
        record(subject, metric, value) {
          if (subject.kind === 'cgroup' && subject.path === path) values[metric] = value
        },
        failed(error) {
          throw error
        },
      })
      return values
    },
    async close() {
      for (const child of started) {
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null)
          await new Promise((resolve) => child.once('exit', resolve))
      }
      await receiver.stop?.()
      await host.stop()
      for (const path of made) {
        for (let tries = 0; existsSync(path) && tries < 100; tries++) {
          try {
            rmdirSync(path)
          } catch {
            await sleep(20) // its last task is still being reaped
          }
        }
      }
    },
  }
}

const ended = (child: ChildProcess) =>
  new Promise<string>((resolve) => {
    let text = ''
    child.stdout?.on('data', (chunk) => (text += chunk))
    child.once('close', () => resolve(text))
  })

/** What all threads of these processes waited for a CPU so far, in seconds. */
function schedstat(cgroup: string): number {
  let ns = 0
  for (const pid of readFileSync(`${cgroup}/cgroup.procs`, 'latin1').split('\n').filter(Boolean)) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[1])
    }
  }
  return ns / 1e9
}

test('the CPU delay of contended burners agrees with schedstat within 1 %', needs, async () => {
  await withReceiver(true, async ({ cgroup, start, collect }) => {
    const group = cgroup('burners')
    for (let i = 0; i < 4; i++) start(group, 'taskset -c 0 sh -c "while :; do :; done"')
    await sleep(300)
    const [before, kernelBefore] = [await collect(group), schedstat(group)]
    await sleep(3000)
    const [after, kernelAfter] = [await collect(group), schedstat(group)]
    const ours = (after[CPU] ?? Number.NaN) - (before[CPU] ?? Number.NaN)
    const kernel = kernelAfter - kernelBefore
    assert.ok(kernel > 4, `the burners hardly waited: ${kernel} s`)
    assert.ok(Math.abs(ours / kernel - 1) < 0.01, `ours ${ours} s, the kernel's ${kernel} s`)
  })
})

test('the delays of 1000 processes that live 5 ms are all counted, and nothing goes down', needs, async () => {
  const storm = buildTool('fork_storm')
  await withReceiver(true, async ({ cgroup, start, collect }) => {
    const group = cgroup('storm')
    await collect(group)
    const child = start(group, `${storm} 1000 5 6`)
    const told = ended(child)
    let last = 0
    while (child.exitCode === null && child.signalCode === null) {
      const now = (await collect(group))[CPU] ?? 0
      assert.ok(now >= last, `went down from ${last} to ${now}`)
      last = now
      await sleep(250)
    }
    const truth = Number(await told) / 1e9
    const ours = (await collect(group))[CPU] ?? 0
    assert.ok(truth > 0.5, `the storm hardly waited: ${truth} s`)
    assert.ok(ours >= truth * 0.99, `ours ${ours} s, the children's own ${truth} s`)
    // Beyond what the children read of themselves there is only their last moment and the parent.
    assert.ok(ours <= truth * 1.1 + 0.1, `ours ${ours} s, the children's own ${truth} s`)
  })
})

test('when processes move between cgroups both sums stay what they were', needs, async () => {
  await withReceiver(true, async ({ cgroup, start, collect }) => {
    const [from, to] = [cgroup('from'), cgroup('to')]
    const children = [1, 2, 3].map(() => start(from, 'taskset -c 1 sh -c "while :; do :; done"'))
    await sleep(1000)
    const before = (await collect(from))[CPU] ?? 0
    const kernelBefore = schedstat(from)
    assert.ok(before > 0.5, `hardly waited: ${before} s`)
    for (const { pid } of children) writeFileSync(`${to}/cgroup.procs`, String(pid))
    await sleep(1000)
    const [left, arrived] = [(await collect(from))[CPU] ?? 0, (await collect(to))[CPU] ?? 0]
    assert.ok(left >= before, `went down from ${before} to ${left}`)
    const sum = schedstat(to) - kernelBefore
    assert.ok(arrived > 0.5 && arrived <= sum * 1.02, `${arrived} s arrived, the kernel counted ${sum} s`)
  })
})

test('without history counting starts at zero', needs, async () => {
  const before = spawn('sh', ['-c', 'while :; do :; done & while :; do :; done'], { detached: true })
  try {
    await sleep(500)
    await withReceiver(false, async ({ cgroup, collect }) => {
      const group = cgroup('old')
      writeFileSync(`${group}/cgroup.procs`, String(before.pid))
      assert.ok(((await collect(group))[CPU] ?? 0) < 0.2)
      writeFileSync('/sys/fs/cgroup/unified/cgroup.procs', String(before.pid))
    })
  } finally {
    process.kill(-(before.pid ?? 0), 'SIGKILL')
  }
})

test('disk delay is absent while task_delayacct is 0, and the need says what would change it', needs, async (t) => {
  if (readFileSync('/proc/sys/kernel/task_delayacct', 'latin1').trim() !== '0') return t.skip('task_delayacct is on')
  await withReceiver(true, async ({ cgroup, start, collect, log }) => {
    const group = cgroup('off')
    start(group, 'sleep 30')
    await sleep(200)
    assert.deepEqual(Object.keys(await collect(group)), [CPU])
    await collect(group)
    const need = delayAccounting.needs.find(({ name }) => name === 'kernel.task_delayacct=1')
    assert.equal(need?.check(), false)
    assert.match(need?.fix ?? '', /sysctl -w kernel\.task_delayacct=1/)
    assert.deepEqual(
      log.said.filter(({ level }) => level === 'warn'),
      [],
    ) // start-up tells it, once
  })
})

test(
  'processes started after task_delayacct was switched on have disk delays, older ones are not pretended to',
  needs,
  async () => {
    const file = '/proc/sys/kernel/task_delayacct'
    const before = readFileSync(file, 'latin1')
    await withReceiver(true, async ({ cgroup, start, collect }) => {
      const [older, newer] = [cgroup('older'), cgroup('newer')]
      start(older, 'sleep 60')
      await sleep(200)
      try {
        writeFileSync(file, '1')
        start(newer, 'sleep 60')
        await sleep(300)
        assert.deepEqual(Object.keys(await collect(older)), [CPU])
        assert.ok(Object.keys(await collect(newer)).includes('container.resources.disk.delay'))
      } finally {
        writeFileSync(file, before)
      }
    })
  },
)

test('nothing stays in the kernel after stop', needs, async () => {
  // By id, because other agents may run and end on this machine meanwhile.
  const programs = () => {
    const all = JSON.parse(execFileSync('bpftool', ['prog', 'list', '-j'], { encoding: 'utf8' })) as {
      id: number
      name?: string
    }[]
    return new Set(all.filter(({ name }) => name === 'on_exit' || name === 'pass_over_tasks').map(({ id }) => id))
  }
  const before = programs()
  let during = before
  await withReceiver(true, async () => {
    during = programs()
  })
  const started = [...during].filter((id) => !before.has(id))
  assert.ok(started.length >= 2, `${started.length} programs were loaded`)
  const remaining = () => {
    const now = programs()
    return started.filter((id) => now.has(id))
  }
  for (let tries = 0; remaining().length > 0 && tries < 50; tries++) await sleep(100)
  assert.deepEqual(remaining(), [])
})
