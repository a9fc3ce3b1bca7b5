// Delays by BPF: the kernel sums them per control group, in one pass over all tasks and at each task's exit.
import { readFileSync } from 'node:fs'
import { loadWhatWorks } from '../../native/bpf.ts'
import { bpfPath } from '../../native/paths.ts'
import type { Host } from '../host/host.ts'
import { type Counters, decodeCounters, decodeTotals, type Totals } from './totals.ts'

/** Index of a v1 controller in the kernel's tables: /proc/cgroups has a line for each, in their order (cgroups(7)). */
export function subsystemIndex(cgroupsFile: string, controller: string): number {
  const lines = cgroupsFile.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.findIndex((line) => line.split('\t')[0] === controller)
}

const COUNTERS_KEY = new Uint8Array(4)

export type DelaySource = {
  /** One pass: brings the totals of all control groups up to now. */
  collect(): { readonly totals: readonly Totals[]; readonly counters: Counters }
  /** Drops control groups that nobody remembers. */
  forget(cgroups: readonly number[]): void
  /** Kernel memory of the maps in bytes. */
  memory(): number
  close(): void
}

/** Throws with a remedy when this kernel does not take the programs. */
export function openBpfDelays(host: Host, history: boolean): DelaySource {
  const { mode, canonicalController } = host.layout
  const subsystem = mode === 'v1' ? subsystemIndex(readFileSync('/proc/cgroups', 'latin1'), canonicalController) : -1
  if (mode === 'v1' && subsystem === -1) {
    throw new Error(
      `BPF cannot tell the cgroups of the v1 hierarchy ${canonicalController} · fix: mount a v1 controller or the v2 tree`,
    )
  }
  // Read before attaching: what is born in between counts as ours, what died in between was before us.
  const attachedNs =
    BigInt(Math.round(Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 100)) * 10_000_000n
  const { object, programs, refused } = loadWhatWorks(readFileSync(bpfPath('delay_accounting')), {
    groups: { pass: ['pass_over_tasks'], exits: ['on_exit'] },
    constants: { attached_ns: attachedNs, history: history ? 1 : 0, v1_subsystem: subsystem },
  })
  if (object === undefined || programs.pass === undefined || programs.exits === undefined) {
    object?.close()
    const reasons = refused.map(({ program, error }) => `${program}: ${error.message}`).join('; ')
    throw new Error(
      `the kernel refuses the BPF programs (${reasons}) · fix: grant CAP_BPF and CAP_PERFMON, or run as root; Linux 5.12 or newer with BTF`,
    )
  }
  const { pass: iterator } = programs
  const key = (cgroup: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(cgroup))
    return bytes
  }
  // The cell for what does not fit must be there before the map can be full.
  object.update('totals', key(0), Buffer.alloc(80))
  let pass = 0n

  return {
    collect() {
      const before = object.lookup('counters', COUNTERS_KEY) ?? Buffer.alloc(32)
      pass += 1n
      before.writeBigUInt64LE(pass, 0)
      object.update('counters', COUNTERS_KEY, before)
      object.iterate(iterator)
      const counters = decodeCounters(object.lookup('counters', COUNTERS_KEY))
      if (counters === undefined) throw new Error('the map "counters" of delay_accounting.bpf.o is too short')
      return { totals: decodeTotals(object.readMap('totals'), pass), counters }
    },
    forget(cgroups) {
      if (cgroups.length > 0) object.remove('totals', Buffer.concat(cgroups.map(key)))
    },
    memory: () => object.memory(),
    close: () => object.close(),
  }
}
