// What containers wait for: a CPU, block I/O, memory. The kernel counts it for each task; we sum it per container.
import { existsSync, readFileSync } from 'node:fs'
import * as z from 'zod/mini'
import { defineReceiver } from '../receiver.ts'
import { openBpfDelays } from './bpf.ts'
import { delayNames, delays } from './delays.ts'

const SWITCH = '/proc/sys/kernel/task_delayacct'

/** Kernels without the sysctl (before 5.14) count always, unless booted with `nodelayacct`. */
const accountingOn = (): boolean => {
  try {
    return readFileSync(SWITCH, 'latin1').trim() === '1'
  } catch {
    return !readFileSync('/proc/cmdline', 'latin1').split(/\s/).includes('nodelayacct')
  }
}

export default defineReceiver({
  name: 'delay_accounting',
  summary: 'How long the processes of each container waited for a CPU, for disks and for memory.',
  stability: 'alpha',
  config: z.strictObject({
    /** Whether delays that living processes had before the agent came are in the first value, as the peer does it. */
    history: z._default(z.boolean(), true),
  }),
  metrics: delays,
  needs: [
    {
      name: 'BTF, CAP_BPF and CAP_PERFMON',
      why: 'the kernel sums the delays of all tasks per control group, and adds those of every task that ends',
      degrades: 'no delays at all',
      fix: 'run as root, or grant the capabilities; Linux 5.12 or newer with CONFIG_DEBUG_INFO_BTF',
      check: () => existsSync('/sys/kernel/btf/vmlinux'),
    },
    {
      name: 'kernel.task_delayacct=1',
      why: 'the kernel measures waits for disk and memory only of tasks that were forked while this was on',
      degrades: 'disk, swap, memory and irq delays stay absent; CPU delay is not affected',
      fix: 'sysctl -w kernel.task_delayacct=1    then restart what you want measured',
      check: accountingOn,
    },
  ],

  start({ history }, { host, log, meter }) {
    const source = openBpfDelays(host, history)
    const losses = meter.createObservableCounter('otelcol_receiver_delay_refused', {
      description: 'Delays that could not be given to their control group.',
    })
    const unmeasuredTasks = meter.createObservableGauge('otelcol_receiver_delay_unmeasured_tasks', {
      description: 'Living tasks whose disk and memory delays the kernel does not count.',
    })
    const mapMemory = meter.createObservableGauge('otelcol_receiver_bpf_memory', {
      unit: 'By',
      description: 'Kernel memory of BPF maps.',
    })
    let refused = 0
    let unmeasured = 0
    losses.addCallback((result) => result.observe(refused, { receiver: 'delay_accounting' }))
    unmeasuredTasks.addCallback((result) => result.observe(unmeasured, { receiver: 'delay_accounting' }))
    mapMemory.addCallback((result) => result.observe(source.memory(), { receiver: 'delay_accounting' }))

    const unknownSinceMs = new Map<number, number>()
    // What holds at the start is told by our needs; here only what changes later.
    let wasOn = accountingOn()

    function tellSwitch(on: boolean): void {
      if (on === wasOn) return
      if (on) log.info('kernel.task_delayacct was switched on: processes started from now on are measured')
      else log.warn('kernel.task_delayacct was switched off: disk and memory delays are absent')
      wasOn = on
    }

    return {
      collect(out) {
        const on = accountingOn()
        tellSwitch(on)
        const { totals, counters } = source.collect()
        refused = counters.refused
        unmeasured = totals.reduce((sum, { unmeasured }) => sum + unmeasured, 0)

        // A container with one task that is not measured has no disk delay, rather than one that is too small.
        const partly = new Set<number>()
        for (const { cgroup, unmeasured } of totals) {
          const subject = unmeasured > 0 ? host.cgroup(cgroup) : undefined
          if (subject === undefined) continue
          const whose = host.attribution(subject)
          partly.add(whose.state === 'container' ? whose.container.top.id : subject.id)
        }
        const isMeasured = (id: number) => on && !partly.has(id)

        const gone: number[] = []
        for (const { cgroup, ns } of totals) {
          const subject = host.cgroup(cgroup)
          if (subject === undefined) {
            // Not seen yet by the host, or forgotten by it. The kernel keeps its totals meanwhile.
            const sinceMs = unknownSinceMs.get(cgroup) ?? Date.now()
            unknownSinceMs.set(cgroup, sinceMs)
            if (cgroup !== 0 && Date.now() - sinceMs > 60_000) gone.push(cgroup)
            continue
          }
          unknownSinceMs.delete(cgroup)
          const whose = host.attribution(subject)
          const measured = isMeasured(whose.state === 'container' ? whose.container.top.id : subject.id)
          for (const [delay, name] of delayNames.entries()) {
            if (delay > 0 && !(measured && counters.counted[delay])) continue
            out.record(subject, name, (ns[delay] ?? 0) / 1e9)
          }
        }
        source.forget(gone)
        for (const cgroup of gone) unknownSinceMs.delete(cgroup)
      },
      stop: () => source.close(),
    }
  },
})
