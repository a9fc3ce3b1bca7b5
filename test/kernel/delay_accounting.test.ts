// Delays of real processes on the real kernel, both ways of reading them, against /proc/PID/task/TID/schedstat and against
// what the processes said of themselves just before they ended.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import delayAccounting from '../../receivers/delay_accounting/index.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { CPU, line, output, type Source, schedstat, until, whileStopped, withReceiver } from './waiting.ts'

const DISK = 'container.resources.disk.delay'
const SWITCH = '/proc/sys/kernel/task_delayacct'
const needs = requires('root', 'addon', 'bpf')
const sources: Source[] = ['bpf', 'taskstats']
const burner = (cpu: number) => `taskset -c ${cpu} sh -c "while :; do :; done"`

/** `ours` seconds are what the kernel counted, up to what came between two looks. */
function near(ours: number | undefined, truth: number, tolerance: number): void {
  assert.ok(
    ours !== undefined && Math.abs(ours / truth - 1) <= tolerance,
    `${ours} s, the truth is ${truth} s: ${(100 * ((ours ?? 0) / truth - 1)).toFixed(2)} % off`,
  )
}

for (const source of sources) {
  describe(source, () => {
    test('the CPU delay of contended burners agrees with schedstat within 1 %', needs, async () => {
      await withReceiver({ source }, async ({ cgroup, start, collect }) => {
        const group = cgroup('burners')
        for (let i = 0; i < 4; i++) start(group, burner(0))
        await sleep(300)
        const both = () => whileStopped(group, async () => [await collect(group), schedstat(group)] as const)
        const [before, kernelBefore] = await both()
        await sleep(3000)
        const [after, kernelAfter] = await both()
        const kernel = kernelAfter - kernelBefore
        assert.ok(kernel > 4, `the burners hardly waited: ${kernel} s`)
        near((after[CPU] ?? Number.NaN) - (before[CPU] ?? Number.NaN), kernel, 0.01)
      })
    })

    test('the delays of 1000 processes that live 5 ms are all counted, and nothing goes down', needs, async () => {
      const storm = buildTool('fork_storm')
      await withReceiver({ source }, async ({ cgroup, start, collect }) => {
        const group = cgroup('storm')
        await collect(group)
        const child = start(group, `${storm} 1000 5 6`)
        const told = output(child)
        let last = 0
        while (child.exitCode === null && child.signalCode === null) {
          const now = (await collect(group))[CPU] ?? 0
          assert.ok(now >= last, `went down from ${last} to ${now}`)
          last = now
          await sleep(500)
        }
        const truth = Number(await told) / 1e9
        assert.ok(truth > 0.5, `the storm hardly waited: ${truth} s`)
        const cpu = async () => (await collect(group))[CPU] ?? 0
        const ours = await until(cpu, (now) => now >= truth * 0.99)
        assert.ok(ours >= truth * 0.99, `ours ${ours} s, the children's own ${truth} s`)
        // Beyond what the children read of themselves there is only their last moment and the parent.
        assert.ok(ours <= truth * 1.05 + 0.1, `ours ${ours} s, the children's own ${truth} s`)
      })
    })

    test(
      'a storm in a cgroup whose first process moved in after it was forked belongs to that cgroup',
      needs,
      async () => {
        const storm = buildTool('fork_storm')
        await withReceiver({ source }, async ({ cgroup, start, collect }) => {
          const [runtime, container] = [cgroup('runtime'), cgroup('container')]
          const child = start(
            runtime,
            `sh -c "sleep 0.5; echo \\$\\$ > ${container}/cgroup.procs; exec ${storm} 200 5 6"`,
          )
          const told = output(child)
          await sleep(300)
          await collect(runtime)
          const truth = Number(await told) / 1e9
          const cpu = async () => (await collect(container))[CPU] ?? 0
          assert.ok((await until(cpu, (now) => now >= truth * 0.99)) >= truth * 0.99)
          assert.ok(((await collect(runtime))[CPU] ?? 0) < 0.05 + truth * 0.01)
        })
      },
    )

    test('when processes move between cgroups both sums stay what they were', needs, async () => {
      await withReceiver({ source }, async ({ cgroup, start, collect }) => {
        const [from, to] = [cgroup('from'), cgroup('to')]
        const children = [1, 2, 3].map(() => start(from, burner(1)))
        const both = async () => [(await collect(from))[CPU] ?? 0, (await collect(to))[CPU] ?? 0] as const
        await sleep(1000)
        const [before, kernelBefore] = await whileStopped(from, async () => {
          const seen = [(await collect(from))[CPU] ?? 0, schedstat(from)] as const
          for (const { pid } of children) writeFileSync(`${to}/cgroup.procs`, String(pid))
          return seen
        })
        assert.ok(before > 0.5, `hardly waited: ${before} s`)
        await sleep(1000)
        const [left, arrived, kernel] = await whileStopped(to, async () => [...(await both()), schedstat(to)] as const)
        assert.equal(left, before)
        assert.ok(kernel - kernelBefore > 0.5)
        near(arrived, kernel - kernelBefore, 0.01)
      })
    })

    test(
      'threads count while they live and after they ended, whether their leader stays or leaves',
      needs,
      async () => {
        const threads = buildTool('threads')
        await withReceiver({ source }, async ({ cgroup, start, collect }) => {
          for (const leader of ['stay', 'leave']) {
            const group = cgroup(leader)
            const child = start(group, `taskset -c 0 ${threads} 5 200 ${leader}`)
            const told = line(child)
            await sleep(400)
            const meanwhile = (await collect(group))[CPU] ?? 0
            const truth = Number(await told) / 1e9
            assert.ok(truth > 0.5, `the threads hardly waited: ${truth} s`)
            assert.ok(meanwhile > 0.05 && meanwhile < truth, `${meanwhile} s of ${truth} s while they lived`)
            const cpu = async () => (await collect(group))[CPU] ?? 0
            const ours = await until(cpu, (now) => now >= truth * 0.99)
            assert.ok(
              ours >= truth * 0.99 && ours <= truth * 1.03 + 0.02,
              `${leader}: ${ours} s, the truth is ${truth} s`,
            )
            await sleep(300)
            assert.ok((await cpu()) <= truth * 1.03 + 0.02, 'the end of the process counts nothing twice')
          }
        })
      },
    )

    test('a pid that is used again is another process', needs, async () => {
      const samePid = buildTool('same_pid')
      await withReceiver({ source }, async ({ cgroup, start, collect }) => {
        const group = cgroup('reuse')
        let pid = 31_000
        while (existsSync(`/proc/${pid}`)) pid++
        const rivals = [1, 2, 3].map(() => start(cgroup(`rival${Math.random()}`), burner(1)))
        const child = start(group, `taskset -c 1 ${samePid} ${pid} 150`)
        const first = Number(await line(child)) / 1e9
        const before = (await collect(group))[CPU] ?? 0
        assert.ok(first > 0.1, `the first hardly waited: ${first} s`)
        assert.ok(before >= first * 0.99, `${before} s of ${first} s`)
        child.stdin?.write('x')
        const second = Number(await line(child)) / 1e9
        for (const rival of rivals) rival.kill('SIGKILL')
        const cpu = async () => (await collect(group))[CPU] ?? 0
        const ours = await until(cpu, (now) => now >= (first + second) * 0.99)
        assert.ok(ours >= (first + second) * 0.99, `${ours} s, they waited ${first} s and ${second} s`)
        assert.ok(ours <= (first + second) * 1.1 + 0.2, `${ours} s, they waited ${first} s and ${second} s`)
        child.stdin?.write('x')
        await once(child, 'exit')
        await sleep(200)
        assert.ok((await cpu()) - ours < 0.1, 'the end of the second counts nothing twice')
      })
    })

    test('delays from before the agent came count with history, and not without', needs, async () => {
      const before = spawn('sh', ['-c', 'while :; do :; done & while :; do :; done & while :; do :; done'], {
        detached: true,
      })
      const own = () => Number(readFileSync(`/proc/${before.pid}/schedstat`, 'latin1').split(' ')[1]) / 1e9
      try {
        await until(
          async () => own(),
          (waited) => waited > 0.5,
        )
        await withReceiver({ source, history: false }, async ({ cgroup, collect }) => {
          const group = cgroup('old')
          writeFileSync(`${group}/cgroup.procs`, String(before.pid))
          const came = own()
          const ours = (await collect(group))[CPU] ?? 0
          assert.ok(ours <= own() - came + 0.3, `${ours} s`)
          writeFileSync('/sys/fs/cgroup/unified/cgroup.procs', String(before.pid))
        })
        await withReceiver({ source, history: true }, async ({ cgroup, host, collect }) => {
          const group = cgroup('old2')
          const came = own()
          const root = (await collect(`${host.layout.root}/`))[CPU] ?? 0
          assert.ok(root >= came, `${root} s in the root, of which this one process alone waited ${came} s`)
          assert.ok(group)
        })
      } finally {
        process.kill(-(before.pid ?? 0), 'SIGKILL')
      }
    })

    test('disk delay is absent while task_delayacct is 0', needs, async (t) => {
      if (readFileSync(SWITCH, 'latin1').trim() !== '0') return t.skip('task_delayacct is on')
      await withReceiver({ source }, async ({ cgroup, start, collect, log }) => {
        const group = cgroup('off')
        start(group, 'sleep 30')
        await sleep(200)
        assert.deepEqual(Object.keys(await collect(group)), [CPU])
        await collect(group)
        assert.deepEqual(
          log.said.filter(({ level }) => level === 'warn'),
          [],
        ) // the start-up tells it once, out of our needs
      })
    })

    test(
      'what was started after task_delayacct came on has disk delays, what is older is not pretended to',
      needs,
      async () => {
        const before = readFileSync(SWITCH, 'latin1')
        const file = join(tmpdir(), `leadline-delay-${process.pid}`)
        await withReceiver({ source }, async ({ cgroup, start, collect, log }) => {
          const [older, newer] = [cgroup('older'), cgroup('newer')]
          start(older, 'sleep 60')
          await sleep(200)
          await collect(older)
          try {
            writeFileSync(SWITCH, '1')
            await sleep(300) // taskstats notices it by looking, 10 times a second
            const child = start(newer, `dd if=/dev/zero of=${file} bs=4k oflag=direct status=none`)
            await sleep(1000)
            child.kill('SIGSTOP')
            await sleep(200)
            assert.deepEqual(Object.keys(await collect(older)), [CPU])
            const values = await collect(newer)
            assert.equal(Object.keys(values).length, 8, 'this kernel counts all of them')
            // Field 42 of /proc/PID/stat: what it waited for block I/O, in hundredths of a second (proc(5)).
            const told = Number(readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[39]) / 100
            assert.ok(told > 0.1, `dd hardly waited for the disk: ${told} s`)
            assert.ok(Math.abs((values[DISK] ?? 0) - told) <= 0.011, `${values[DISK]} s, the kernel says ${told} s`)
            assert.ok(log.said.some(({ message }) => message.includes('switched on')))
          } finally {
            writeFileSync(SWITCH, before)
            rmSync(file, { force: true })
          }
        })
      },
    )
  })
}

test('the need for kernel.task_delayacct says what would change it', needs, (t) => {
  if (readFileSync(SWITCH, 'latin1').trim() !== '0') return t.skip('task_delayacct is on')
  const need = delayAccounting.needs.find(({ name }) => name === 'kernel.task_delayacct=1')
  assert.equal(need?.check(), false)
  assert.match(need?.fix ?? '', /sysctl -w kernel\.task_delayacct=1/)
})

test('nothing stays in the kernel after stop', needs, async () => {
  const programs = () =>
    (JSON.parse(execFileSync('bpftool', ['prog', 'list', '-j'], { encoding: 'utf8' })) as { name?: string }[]).filter(
      ({ name }) => name === 'on_free' || name === 'pass_over_tasks',
    ).length
  const before = programs()
  await withReceiver({ source: 'auto' }, async () => assert.ok(programs() > before))
  assert.ok(
    (await until(
      async () => programs(),
      (now) => now <= before,
    )) <= before,
  )
})
