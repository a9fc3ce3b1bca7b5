// Who waited how long, per control group, out of what taskstats tells of processes and of their ends. Pure: it asks
// nothing of the machine but through `Lookups`.
//
// A process is counted by high-water marks: only what is above what was counted of it before is added. So nothing goes
// down when an answer is smaller than the one before, as that of a process which is just ending is, nor counts twice when
// it is larger for a moment, as that of a process whose thread is just ending is (fill_stats_for_tgid, kernel/taskstats.c).
import type { ProcessStat } from '../host/process.ts'
import type { Exit, TaskStats } from './decode.ts'
import { DELAYS, type Totals } from './source.ts'

export type Lookups = {
  /** The control group of a living process, or of one not reaped yet. */
  cgroupOf(pid: number): number | undefined
  stat(pid: number): ProcessStat | undefined
  /** Its taskstats once more. */
  ask(tgid: number): TaskStats | undefined
  /** Whether the kernel measured this process' waits for disk and memory from its start. Of unknown ones, no start. */
  isMeasured(stats: TaskStats, startTicks: number | undefined): boolean
}

type Process = {
  cgroup: number
  readonly startTicks: number | undefined
  /** High-water marks in nanoseconds. */
  readonly counted: Float64Array
  /** Polls in a row in which it was not there, though we heard of no end. Above 0 its pid may be another's by now. */
  missed: number
}

type Sum = { readonly ns: Float64Array; unmeasured: number; unmeasuredEnded: number }

export type Ledger = {
  /** All processes there are, with what they waited so far. The first call is where counting begins. */
  poll(processes: Iterable<{ tgid: number; cgroup: number; stats: TaskStats }>): void
  /** Processes that were seen in a control group. */
  joined(cgroup: number, pids: readonly number[]): void
  /** What ended since the last call, in the kernel's order. */
  ended(exits: readonly Exit[]): void
  /** Exit messages were lost: finds out whose pid belongs to another process by now. Call it with all others told. */
  verify(): void
  forget(cgroups: readonly number[]): void
  totals(): Totals[]
  readonly losses: { unknown_parent: number; unclear_exit: number; missed_exit: number }
}

/** The ended whose control group their children's exits may still ask for. */
const MOST_REMEMBERED = 8192
/** Polls that a process may be missing before we take it that the message of its end was lost. */
const PATIENCE = 3

export function startLedger(lookups: Lookups, { history }: { readonly history: boolean }): Ledger {
  const known = new Map<number, Process>()
  const remembered = new Map<number, { readonly cgroup: number | undefined; readonly ppid: number }>()
  const sums = new Map<number, Sum>()
  const losses = { unknown_parent: 0, unclear_exit: 0, missed_exit: 0 }
  let begun = false

  function sumOf(cgroup: number): Sum {
    let sum = sums.get(cgroup)
    if (sum === undefined) {
      sum = { ns: new Float64Array(DELAYS), unmeasured: 0, unmeasuredEnded: 0 }
      sums.set(cgroup, sum)
    }
    return sum
  }

  function settle({ cgroup, counted }: Process, now: Float64Array): void {
    const { ns } = sumOf(cgroup)
    for (let delay = 0; delay < DELAYS; delay++) {
      const waited = (now[delay] ?? 0) - (counted[delay] ?? 0)
      if (waited <= 0) continue
      ns[delay] = (ns[delay] ?? 0) + waited
      counted[delay] = now[delay] ?? 0
    }
  }

  /** Undefined for one that has ended: its exit was told while it was still listed as a member. */
  function meet(tgid: number, cgroup: number): Process | undefined {
    const stat = lookups.stat(tgid)
    if (remembered.has(tgid) && (stat === undefined || stat.exiting)) return undefined
    const process = { cgroup, startTicks: stat?.startTicks, counted: new Float64Array(DELAYS), missed: 0 }
    known.set(tgid, process)
    return process
  }

  /** Whether a process that may have ended unheard has left its pid to another. */
  function isAnother(tgid: number, { missed, startTicks }: Process): boolean {
    if (missed === 0 && startTicks !== undefined) return false
    const stat = lookups.stat(tgid)
    return stat !== undefined && stat.startTicks !== startTicks
  }

  function remember(tgid: number, cgroup: number | undefined, ppid: number): void {
    remembered.delete(tgid)
    remembered.set(tgid, { cgroup, ppid })
    for (const oldest of remembered.keys()) {
      if (remembered.size <= MOST_REMEMBERED) break
      remembered.delete(oldest)
    }
  }

  /** Where a process that we never saw must have been: where its parent is or was, or that one's parent. */
  function inherited(ppid: number, parents: ReadonlyMap<number, number>, found: Map<number, number | undefined>) {
    const asked: number[] = []
    let cgroup: number | undefined
    for (let pid: number | undefined = ppid; pid !== undefined && pid > 0 && !asked.includes(pid); ) {
      cgroup = found.has(pid) ? found.get(pid) : lookups.cgroupOf(pid)
      cgroup ??= known.get(pid)?.cgroup ?? remembered.get(pid)?.cgroup
      asked.push(pid)
      if (cgroup !== undefined) break
      pid = parents.get(pid) ?? remembered.get(pid)?.ppid
    }
    for (const pid of asked) found.set(pid, cgroup)
    return cgroup
  }

  /** The thread group that this message ends, with its sums; undefined for one task of a group that goes on. */
  function endOf({ pid, task, group }: Exit): { tgid: number; stats: TaskStats } | undefined {
    if (group !== undefined) return group
    const end = { tgid: pid, stats: task }
    if (task.tgid !== undefined) return task.tgid === pid && task.last === true ? end : undefined
    // Before version 12 a leader that goes before its threads looks like the only task of its process.
    if (known.has(pid)) {
      const now = lookups.ask(pid)
      return now !== undefined && (now.ns[0] ?? 0) >= Math.max(task.ns[0] ?? 0, 1) ? undefined : end
    }
    if (task.leader) return end
    losses.unclear_exit++ // a thread, or a program that ended well: counting the first would count it twice
    return undefined
  }

  return {
    losses,

    poll(processes) {
      for (const sum of sums.values()) sum.unmeasured = 0
      const missing = new Map(known)
      for (const { tgid, cgroup, stats } of processes) {
        missing.delete(tgid)
        let process = known.get(tgid)
        if (process !== undefined && isAnother(tgid, process)) {
          known.delete(tgid)
          losses.missed_exit++
          process = undefined
        }
        if (process === undefined) {
          process = meet(tgid, cgroup)
          if (process === undefined) continue
          if (!begun && !history) process.counted.set(stats.ns)
        }
        process.cgroup = cgroup
        process.missed = 0
        settle(process, stats.ns)
        if (!lookups.isMeasured(stats, process.startTicks)) sumOf(cgroup).unmeasured++
      }
      for (const [tgid, process] of missing) {
        if (++process.missed < PATIENCE) continue
        // Listed nowhere, but still the same: its control group is not known yet.
        const stat = lookups.stat(tgid)
        if (stat !== undefined && stat.startTicks === process.startTicks) continue
        known.delete(tgid)
        losses.missed_exit++
      }
      begun = true
    },

    joined(cgroup, pids) {
      if (!begun) return // the first poll decides what of them counts
      for (const pid of pids) {
        const process = known.get(pid)
        if (process !== undefined) process.cgroup = cgroup
        else meet(pid, cgroup)
      }
    },

    ended(exits) {
      const parents = new Map(exits.map(({ pid, task }) => [pid, task.ppid]))
      for (const { group, task } of exits) if (group) parents.set(group.tgid, task.ppid)
      const found = new Map<number, number | undefined>()
      for (const exit of exits) {
        const end = endOf(exit)
        if (end === undefined) continue
        const { tgid, stats } = end
        const process = known.get(tgid)
        const { ppid } = exit.task
        if (process !== undefined) {
          settle(process, stats.ns)
          if (!lookups.isMeasured(stats, process.startTicks)) sumOf(process.cgroup).unmeasuredEnded++
          known.delete(tgid)
          remember(tgid, process.cgroup, ppid)
        } else if (begun) {
          const cgroup = inherited(ppid, parents, found)
          if (cgroup === undefined) losses.unknown_parent++
          const target = cgroup ?? 0
          settle({ cgroup: target, startTicks: undefined, counted: new Float64Array(DELAYS), missed: 0 }, stats.ns)
          if (!lookups.isMeasured(stats, undefined)) sumOf(target).unmeasuredEnded++
          remember(tgid, cgroup, ppid)
        } else {
          remember(tgid, undefined, ppid)
        }
      }
    },

    verify() {
      for (const [tgid, process] of known) {
        const stat = lookups.stat(tgid)
        if (stat === undefined) {
          // Its message may still come; when its pid is seen again it has to be looked at.
          process.missed = Math.max(process.missed, 1)
        } else if (stat.startTicks !== process.startTicks) {
          known.delete(tgid)
          losses.missed_exit++
        }
      }
    },

    forget(cgroups) {
      for (const cgroup of cgroups) sums.delete(cgroup)
    },

    totals: () =>
      [...sums].map(([cgroup, { ns, unmeasured, unmeasuredEnded }]) => ({ cgroup, ns, unmeasured, unmeasuredEnded })),
  }
}
