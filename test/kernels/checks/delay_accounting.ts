// The receiver by both of its sources, against schedstat, against what processes say of themselves before they end, and
// against field 42 of /proc/PID/stat (proc(5)).
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../../../native/paths.ts'
import receiver from '../../../receivers/delay_accounting/index.ts'
import { CPU, output, type Source, schedstat, stop, until, whileStopped, withReceiver } from '../../kernel/waiting.ts'
import type { Said } from '../../receivers/quiet.ts'
import { defineCheck, type Guest } from '../check.ts'
import { holdsDelays } from './taskstats.ts'

const DISK = 'container.resources.disk.delay'
const SWITCH = '/proc/sys/kernel/task_delayacct'
/** Answers 20 requests a second. */
const SLOW_DISK = '/dev/vda'
const tool = (name: string) => join(root, 'tools', name)

const BY_BPF = 'delays are summed in the kernel by BPF'
const BY_TASKSTATS = 'delays are read from taskstats, because BPF does not work here'

/** How many delays each kernel counts; bpf/compat.bpf.h has the commits. */
const COUNTED = { '5.10': 5, '6.1': 7, '6.12': 8 } as const
const hasBpf = ({ line }: Guest) => line !== '5.10'

/** Seconds, ours and the kernel's or the processes' own. */
type Pair = { readonly ours: number; readonly truth: number }
type Measured = {
  readonly burners: Pair
  readonly storm: Pair
  /** Of a process that was started before the accounting was switched on, where it was not on from the start. */
  readonly older: readonly string[]
  /** Of one that writes to a slow disk, started when it is on. */
  readonly newer: readonly string[]
  readonly disk: { readonly ours: number | undefined; readonly truth: number }
}
type Refused = { readonly refused: string }
type Facts = {
  readonly needs: Readonly<Record<string, boolean>>
  readonly auto: { readonly metrics: readonly string[]; readonly said: readonly Said[] } | Refused
  readonly sources: Readonly<Record<Source, Measured | Refused>>
}

export const delayAccounting = defineCheck<Facts>({
  name: 'delay_accounting',

  async inside() {
    const needs = Object.fromEntries(receiver.needs.map((need) => [need.name, need.check()]))
    const auto = await unlessRefused('auto', async ({ cgroup, start, collect, log }) => {
      const group = cgroup('auto')
      start(group, 'sleep 60')
      await sleep(200)
      return { metrics: Object.keys(await collect(group)), said: log.said }
    })
    return { needs, auto, sources: { bpf: await measure('bpf'), taskstats: await measure('taskstats') } }
  },

  judge: {
    'BPF runs from 5.12 on, and before it taskstats by the own choice of the receiver, which says so': (
      facts,
      guest,
    ) => {
      const { auto, needs } = facts
      const need = Object.entries(needs).find(([name]) => name.includes('Linux 5.12'))
      assert.equal(need?.[1], hasBpf(guest), 'and so does its need')
      if ('refused' in auto) return assert.ok(!hasBpf(guest) && !holdsDelays(guest), auto.refused)
      const first = auto.said.find(({ message }) => message.startsWith('delays '))
      assert.equal(first?.message, hasBpf(guest) ? BY_BPF : BY_TASKSTATS)
      if (!hasBpf(guest)) assert.match(String(first?.fields.reason), /Linux 5\.12/)
    },
    'delays of disk and memory are there only while the kernel measures them': ({ auto, needs }, guest) => {
      assert.equal(needs['kernel.task_delayacct=1'], guest.delayacct)
      if ('refused' in auto) return assert.match(auto.refused, /cannot read delays.*holds no delays.*nodelayacct/)
      assert.deepEqual(auto.metrics.length, guest.delayacct ? COUNTED[guest.line] : 1, auto.metrics.join(' '))
    },
    ...judgeSource('bpf'),
    ...judgeSource('taskstats'),
  },
})

/** What was found out while the receiver ran, or why it does not run here. */
async function unlessRefused<T>(source: Source | 'auto', run: (given: Given) => Promise<T>): Promise<T | Refused> {
  const found: T[] = []
  try {
    await withReceiver({ source }, async (given) => void found.push(await run(given)))
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) }
  }
  return found[0] ?? { refused: 'nothing was found out' }
}

const measure = (source: Source) =>
  unlessRefused<Measured>(source, async (given) => {
    const before = existsSync(SWITCH) ? readFileSync(SWITCH, 'latin1') : undefined
    const [burners, storm] = [await burn(given), await fork(given)]
    const older = given.cgroup('older')
    given.start(older, 'sleep 60')
    await sleep(200)
    await given.collect(older)
    try {
      if (before !== undefined) writeFileSync(SWITCH, '1')
      await sleep(300) // taskstats notices it by looking, 10 times a second
      const { names, ...disk } = await write(given)
      return { burners, storm, older: Object.keys(await given.collect(older)), newer: names, disk }
    } finally {
      if (before !== undefined) writeFileSync(SWITCH, before)
    }
  })

type Given = Parameters<Parameters<typeof withReceiver>[1]>[0]

/** Two that want the only CPU. */
async function burn({ cgroup, start, collect }: Given): Promise<Pair> {
  const group = cgroup('burners')
  const burning = [1, 2].map(() => start(group, `${tool('burner')} 1`))
  await sleep(300)
  const both = () => whileStopped(group, async () => [(await collect(group))[CPU] ?? 0, schedstat(group)] as const)
  const [before, kernelBefore] = await both()
  await sleep(1000)
  const [after, kernelAfter] = await both()
  for (const child of burning) await stop(child)
  return { ours: after - before, truth: kernelAfter - kernelBefore }
}

async function fork({ cgroup, start, collect }: Given): Promise<Pair> {
  const group = cgroup('storm')
  // Time to be seen where it moved to: without BPF, one that came and went meanwhile belongs to where its parent is.
  const truth = Number(await output(start(group, `sh -c "sleep 0.3; exec ${tool('fork_storm')} 60 5 4"`))) / 1e9
  const ours = await until(
    async () => (await collect(group))[CPU] ?? 0,
    (now) => now >= truth * 0.99,
    5,
  )
  return { ours, truth }
}

async function write({ cgroup, start, collect }: Given) {
  const group = cgroup('newer')
  const child = start(group, `dd if=/dev/zero of=${SLOW_DISK} bs=4k oflag=direct`)
  await sleep(1000)
  child.kill('SIGSTOP')
  await sleep(200)
  const values = await collect(group)
  const ticks = readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[39]
  return { names: Object.keys(values), ours: values[DISK], truth: Number(ticks) / 100 }
}

function judgeSource(source: Source): Record<string, (facts: Facts, guest: Guest) => void> {
  const isThere = source === 'bpf' ? hasBpf : holdsDelays
  const judged = (judge: (measured: Measured, guest: Guest) => void) => (facts: Facts, guest: Guest) => {
    const measured = facts.sources[source]
    if (!('refused' in measured)) return judge(measured, guest)
    assert.ok(!isThere(guest), `${source} does not work on Linux ${guest.line}: ${measured.refused}`)
    assert.match(measured.refused, / · fix: /)
  }
  return {
    [`${source}: the CPU delay of two burners on one CPU agrees with schedstat within 2 %`]: judged(({ burners }) => {
      assert.ok(burners.truth > 0.5, `they hardly waited: ${burners.truth} s`)
      assert.ok(Math.abs(burners.ours / burners.truth - 1) < 0.02, JSON.stringify(burners))
    }),
    [`${source}: the delays of 60 processes that live 5 ms are all counted, once`]: judged(({ storm }) => {
      assert.ok(storm.truth > 0.5, `they hardly waited: ${storm.truth} s`)
      // Beyond what they read of themselves there is their last moment, which takes long in an emulated machine.
      assert.ok(storm.ours >= storm.truth * 0.99 && storm.ours <= storm.truth * 1.5, JSON.stringify(storm))
    }),
    [`${source}: disk delay is what the kernel tells of the process, and all delays are there that it counts`]: judged(
      ({ disk, newer }, guest) => {
        assert.equal(newer.length, COUNTED[guest.line], newer.join(' '))
        assert.ok(disk.truth > 0.3, `it hardly waited for the disk: ${disk.truth} s`)
        assert.ok(Math.abs((disk.ours ?? 0) - disk.truth) <= 0.011, JSON.stringify(disk))
      },
    ),
    [`${source}: what is older than the accounting has CPU delay alone`]: judged(({ older }, guest) => {
      assert.equal(older.length, guest.delayacct ? COUNTED[guest.line] : 1, older.join(' '))
    }),
  }
}
