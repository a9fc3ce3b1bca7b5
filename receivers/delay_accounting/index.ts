// What containers wait for: a CPU, block I/O, memory. The kernel counts it for each task; we sum it per container.
import { existsSync, readFileSync } from 'node:fs'
import * as z from 'zod/mini'
import { hasCapability } from '../capabilities.ts'
import type { Host } from '../host/host.ts'
import { defineReceiver, type Logger } from '../receiver.ts'
import { accountingFiles, accountingIsOn, watchAccounting } from './accounting.ts'
import { openBpfDelays } from './bpf.ts'
import { delayNames, delays } from './delays.ts'
import { startJudging } from './measured.ts'
import type { DelaySource } from './source.ts'
import { openTaskstatsDelays } from './taskstats.ts'
import { startTelemetry } from './telemetry.ts'

/** The kernel's own types name the maps that it has, whatever version it calls itself. */
const hasTaskStorage = () =>
  existsSync(KERNEL_TYPES) && readFileSync(KERNEL_TYPES).includes('BPF_MAP_TYPE_TASK_STORAGE')

const mayUseBpf = () => hasCapability('BPF') && hasCapability('PERFMON') && hasTaskStorage()

const KERNEL_TYPES = '/sys/kernel/btf/vmlinux'
/** How long the delays of a control group that the host does not know are kept for it. */
const KEEP_UNKNOWN_MS = 60_000

export default defineReceiver({
  name: 'delay_accounting',
  summary: 'How long the processes of each container waited for a CPU, for disks and for memory.',
  stability: 'alpha',
  config: z.strictObject({
    /** Who does the sums: `bpf` the kernel, `taskstats` we, out of its messages. `auto`: BPF where it works. */
    source: z._default(z.enum(['auto', 'bpf', 'taskstats']), 'auto'),
    /** Whether delays that living processes had before the agent came are in the first value, as the peer does it. */
    history: z._default(z.boolean(), true),
  }),
  metrics: delays,
  needs: [
    {
      name: 'CAP_BPF and CAP_PERFMON, Linux 5.12 with BTF',
      why: 'the kernel sums the delays of all tasks per control group, and adds those of every task that ends',
      degrades: 'taskstats is read instead, which costs several times as much CPU',
      fix: 'run as root, or grant the capabilities; CONFIG_DEBUG_INFO_BTF=y',
      check: mayUseBpf,
    },
    {
      name: 'CAP_NET_ADMIN in the initial network namespace, where BPF does not work',
      why: 'taskstats tells it of the living, and of every process that ends',
      degrades: 'no delays at all, if there is no BPF either',
      fix: 'run as root in the network namespace of the host, or grant the capability; CONFIG_TASKSTATS=y',
      check: () => mayUseBpf() || hasCapability('NET_ADMIN'),
    },
    {
      name: 'kernel.task_delayacct=1',
      why: 'the kernel measures waits for disk and memory only of tasks that were forked while this was on',
      degrades: 'disk, swap, memory and irq delays stay absent; CPU delay is not affected',
      fix: 'sysctl -w kernel.task_delayacct=1    then restart what you want measured; before Linux 5.14 boot without nodelayacct',
      check: () => accountingIsOn(accountingFiles),
    },
  ],

  start({ source: wanted, history }, { host, log, meter, id }) {
    const accounting = watchAccounting()
    const open = {
      bpf: () => openBpfDelays({ layout: host.layout, history }),
      taskstats: () => openTaskstatsDelays({ host, history, accounting, log }),
    }
    const source = wanted === 'auto' ? openBest(open, log) : open[wanted]()
    const telemetry = startTelemetry(meter, id, () => source.memory())
    const judge = startJudging(host)
    const leftovers = startForgetting(host)
    const tellSwitch = startTelling(log, accounting.isOn())

    return {
      collect(out) {
        accounting.look()
        tellSwitch(accounting.isOn())
        const reading = source.collect()
        telemetry.seen(reading)
        const isMeasured = judge(reading.totals, accounting.isOn())

        for (const { cgroup, ns } of reading.totals) {
          const subject = host.cgroup(cgroup)
          if (subject === undefined) continue // kept where it is until the host knows it
          const measured = isMeasured(subject)
          for (const [delay, name] of delayNames.entries()) {
            if (!reading.counted[delay] || (delay > 0 && !measured)) continue
            out.record(subject, name, (ns[delay] ?? 0) / 1e9)
          }
        }

        const gone = leftovers(reading.totals.map(({ cgroup }) => cgroup))
        for (const { cgroup, neverKnown } of gone) {
          const last = reading.totals.find((totals) => totals.cgroup === cgroup)
          if (neverKnown && last) telemetry.unattributed(last.ns)
        }
        source.forget(gone.map(({ cgroup }) => cgroup))
      },
      stop() {
        telemetry.stop()
        source.close()
      },
    }
  },
})

function openBest(open: { bpf(): DelaySource; taskstats(): DelaySource }, log: Logger): DelaySource {
  let bpfReason: string
  try {
    const source = open.bpf()
    log.info('delays are summed in the kernel by BPF')
    return source
  } catch (error) {
    bpfReason = error instanceof Error ? error.message : String(error)
  }
  try {
    const source = open.taskstats()
    log.warn('delays are read from taskstats, because BPF does not work here', { reason: bpfReason })
    return source
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`cannot read delays. ${bpfReason}. ${reason}`, { cause: error })
  }
}

/** What holds at the start is told by our needs; here only what changes later. */
function startTelling(log: Logger, on: boolean): (on: boolean) => void {
  let before = on
  return (now) => {
    if (now === before) return
    if (now) log.info('kernel.task_delayacct was switched on: processes started from now on are measured')
    else log.warn('kernel.task_delayacct was switched off: disk and memory delays are absent')
    before = now
  }
}

type Gone = { readonly cgroup: number; readonly neverKnown: boolean }

/** Tells which control groups to drop: those that the host has forgotten, or has not come to know for a while. */
function startForgetting(host: Host): (kept: readonly number[]) => Gone[] {
  const reported = new Set<number>()
  const unknownSinceMs = new Map<number, number>()

  return (kept) => {
    const nowMs = Date.now()
    const gone: Gone[] = []
    for (const cgroup of kept) {
      if (cgroup === 0) continue // what belongs to no control group
      if (host.cgroup(cgroup) !== undefined) {
        reported.add(cgroup)
        unknownSinceMs.delete(cgroup)
        continue
      }
      const sinceMs = unknownSinceMs.get(cgroup) ?? nowMs
      unknownSinceMs.set(cgroup, sinceMs)
      if (!reported.has(cgroup) && nowMs - sinceMs < KEEP_UNKNOWN_MS) continue
      gone.push({ cgroup, neverKnown: !reported.has(cgroup) })
      reported.delete(cgroup)
      unknownSinceMs.delete(cgroup)
    }
    return gone
  }
}
