// The ledger against a machine that forks, moves, ends and uses pids again at random, and loses messages.
// The truth is what this machine let its processes wait.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Exit, TaskStats } from '../../../receivers/delay_accounting/decode.ts'
import { startLedger } from '../../../receivers/delay_accounting/ledger.ts'
import { DELAYS } from '../../../receivers/delay_accounting/source.ts'
import { randomFrom } from '../../random.ts'

type Process = { pid: number; ppid: number; cgroup: number; startTicks: number; ns: number; threads: boolean }
type Habits = { readonly moves: boolean; readonly losses: boolean; readonly version: number }

const PIDS = 60
const CGROUPS = 4

function machine(seed: number, { moves, losses, version }: Habits) {
  const next = randomFrom(seed)
  const living = new Map<number, Process>()
  const truth = new Map<number, number>()
  let exits: Exit[] = []
  /** Pids that ended since the ledger was told. The kernel gives one again only after all others. */
  const recent = new Set<number>()
  let ticks = 0
  /** Lost since the ledger was told, and ever. */
  let overflown = false
  let lostMessages = 0

  const pick = () => [...living.values()][next(living.size)]
  const stats = ({ ns, ppid, pid }: Process, last = true): TaskStats => ({
    version,
    ns: Float64Array.from({ length: DELAYS }, (_, delay) => ns * (delay + 1)),
    wpcopyCount: 1,
    accounted: true,
    waited: true,
    ppid,
    tgid: version >= 12 ? pid : undefined,
    last: version >= 12 ? last : undefined,
    leader: true,
  })
  const ledger = startLedger(
    {
      cgroupOf: (pid) => living.get(pid)?.cgroup,
      stat: (pid) => {
        const process = living.get(pid)
        return process && { startTicks: process.startTicks, exiting: false }
      },
      ask: (tgid) => {
        const process = living.get(tgid)
        return process && stats(process)
      },
      isMeasured: () => true,
    },
    { history: true },
  )

  function fork(parent: Process | undefined) {
    const pid = 2 + next(PIDS)
    if (living.has(pid) || (!losses && recent.has(pid))) return
    const { cgroup = 1 + next(CGROUPS), pid: ppid = 0 } = parent ?? {}
    living.set(pid, { pid, ppid, cgroup, startTicks: ++ticks, ns: 0, threads: next(3) === 0 })
  }
  function wait(process: Process | undefined) {
    if (process === undefined) return
    const ns = 1 + next(1000)
    process.ns += ns
    truth.set(process.cgroup, (truth.get(process.cgroup) ?? 0) + ns)
  }
  function exit(process: Process | undefined) {
    if (process === undefined || living.size < 5) return
    const { pid } = process
    // The kernel gives orphans to another parent. Where they came from then is not to be known, if they were never seen.
    const children = [...living.values()].filter(({ ppid }) => ppid === pid)
    if (children.length > 0 && !moves) return
    for (const child of children) child.ppid = 1
    recent.add(pid)
    if (losses && next(4) === 0) {
      overflown = true
      lostMessages++
    } else if (!process.threads) exits.push({ pid, task: stats(process), group: undefined })
    else {
      // Its leader goes first and is not the end; the last thread brings the sums of all.
      if (version >= 12) exits.push({ pid, task: stats({ ...process, ns: 0 }, false), group: undefined })
      const thread = { ...stats({ ...process, ns: 0 }), leader: false }
      exits.push({ pid: 10_000 + pid, task: thread, group: { tgid: pid, stats: stats(process) } })
    }
    living.delete(pid)
    // Somebody who read cgroup.procs a moment ago still has it on his list.
    if (next(5) === 0) ledger.joined(process.cgroup, [pid])
  }
  function drain() {
    ledger.ended(exits)
    exits = []
    if (overflown) ledger.verify()
    overflown = false
    recent.clear()
  }
  function step() {
    const what = next(20)
    if (what < 5) fork(pick())
    else if (what < 13) wait(pick())
    else if (what < 16) exit(pick())
    else if (what === 16 && moves) {
      const process = pick()
      if (process) process.cgroup = 1 + next(CGROUPS)
      if (process && next(2) === 0) ledger.joined(process.cgroup, [process.pid])
    } else if (what === 17) drain()
    else if (what === 18 && next(3) === 0) poll()
  }
  function poll() {
    drain()
    ledger.poll(
      [...living.values()].map((process) => ({ tgid: process.pid, cgroup: process.cgroup, stats: stats(process) })),
    )
  }
  for (let i = 0; i < 5; i++) fork(undefined)
  const sum = (values: Iterable<number>) => [...values].reduce((all, one) => all + one, 0)
  return {
    ledger,
    step,
    poll,
    wait: () => wait(pick()),
    truth,
    lost: () => lostMessages,
    trueSum: () => sum(truth.values()),
    ledgerSum: () => sum(ledger.totals().map(({ ns }) => ns[0] ?? 0)),
  }
}

/** Runs a history and checks after each poll that nothing went down. */
function run(seed: number, habits: Habits, steps = 1500) {
  const world = machine(seed, habits)
  const before = new Map<number, readonly number[]>()
  world.poll()
  for (let i = 0; i < steps; i++) {
    world.step()
    if (i % 10 !== 0) continue
    for (const { cgroup, ns } of world.ledger.totals()) {
      const now = Array.from(ns)
      before.get(cgroup)?.forEach((value, delay) => {
        assert.ok((now[delay] ?? 0) >= value, `seed ${seed}, step ${i}: cgroup ${cgroup} went down`)
      })
      before.set(cgroup, now)
    }
  }
  world.poll()
  return world
}

const SEEDS = Array.from({ length: 60 }, (_, i) => 1000 + i * 7919)

for (const version of [11, 16]) {
  describe(`version ${version} of taskstats`, () => {
    test('where nothing moves and nothing is lost, each control group has exactly what its processes waited', () => {
      for (const seed of SEEDS) {
        const { ledger, truth } = run(seed, { moves: false, losses: false, version })
        const ours = new Map(ledger.totals().map(({ cgroup, ns }) => [cgroup, ns[0] ?? 0]))
        for (const [cgroup, ns] of truth) assert.equal(ours.get(cgroup), ns, `seed ${seed}, cgroup ${cgroup}`)
        assert.deepEqual(ledger.losses, { unknown_parent: 0, unclear_exit: 0, missed_exit: 0 })
      }
    })

    test('where processes move, all that was waited is there, and once', () => {
      for (const seed of SEEDS) {
        const world = run(seed, { moves: true, losses: false, version })
        assert.equal(world.ledgerSum(), world.trueSum(), `seed ${seed}`)
        for (const { ns } of world.ledger.totals()) assert.equal(ns[3], (ns[0] ?? 0) * 4, 'every delay alike')
      }
    })

    test('where messages are lost nothing is invented, the loss is counted, and what lives is right from then on', () => {
      let missed = 0
      for (const seed of SEEDS) {
        const world = run(seed, { moves: true, losses: true, version })
        assert.ok(world.ledgerSum() <= world.trueSum(), `seed ${seed}: more than there was`)
        assert.ok(world.ledger.losses.missed_exit <= world.lost(), `seed ${seed}: counted more than was lost`)
        missed += world.ledger.losses.missed_exit
        for (let i = 0; i < 4; i++) world.poll()
        const [trueBefore, oursBefore] = [world.trueSum(), world.ledgerSum()]
        for (let i = 0; i < 200; i++) world.wait()
        world.poll()
        assert.equal(world.ledgerSum() - oursBefore, world.trueSum() - trueBefore, `seed ${seed}`)
      }
      assert.ok(missed > SEEDS.length, `${missed} losses were counted`)
    })
  })
}

test('one that was gone before we could look, and whose end was lost, is not kept for ever', () => {
  const asked: number[] = []
  const ledger = startLedger(
    {
      cgroupOf: () => undefined,
      stat: (pid) => void asked.push(pid),
      ask: () => undefined,
      isMeasured: () => true,
    },
    { history: true },
  )
  ledger.poll([])
  ledger.joined(1, [42])
  for (let i = 0; i < 5; i++) ledger.poll([])
  assert.equal(ledger.losses.missed_exit, 1)
  asked.length = 0
  ledger.verify()
  assert.deepEqual(asked, [], 'nobody is known any more')
})

test('without history, what was waited before the first poll is nobody’s', () => {
  const stats = (ns: number): TaskStats => ({
    ...{ version: 16, ns: new Float64Array(DELAYS).fill(ns), wpcopyCount: 1, accounted: true, waited: true },
    ...{ ppid: 0, tgid: 1, last: true, leader: true },
  })
  const lookups = { cgroupOf: () => 1, stat: () => ({ startTicks: 1, exiting: false }), ask: () => undefined }
  const ledger = startLedger({ ...lookups, isMeasured: () => true }, { history: false })
  ledger.poll([{ tgid: 1, cgroup: 1, stats: stats(500) }])
  ledger.poll([
    { tgid: 1, cgroup: 1, stats: stats(700) },
    { tgid: 2, cgroup: 1, stats: stats(30) },
  ])
  assert.equal(ledger.totals()[0]?.ns[0], 230)
  ledger.forget([1])
  assert.deepEqual(ledger.totals(), [])
})
