// Delays by BPF: the kernel sums them per control group, in one pass over all tasks and when each is freed.
import { readFileSync } from 'node:fs'
import { loadWhatWorks, refusalText } from '../../native/bpf.ts'
import { bpfPath } from '../../native/paths.ts'
import { canonicalTree } from '../host/canonical_tree.ts'
import type { CgroupLayout } from '../host/host.ts'
import type { DelaySource } from './source.ts'
import { decodeCounters, decodeTotals, TOTALS_SIZE } from './totals.ts'

const ONLY_KEY = new Uint8Array(4)

const cgroupKeys = (cgroups: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(cgroups.length * 8)
  for (const [i, cgroup] of cgroups.entries()) bytes.writeBigUInt64LE(BigInt(cgroup), i * 8)
  return bytes
}

type Options = {
  readonly layout: CgroupLayout
  /** Whether delays that tasks had before the first pass count. */
  readonly history: boolean
  /** Most control groups that are told apart at a time; more share one cell. */
  readonly maxCgroups?: number
}

/** Makes the first pass at once. Throws with a remedy when this kernel does not take the programs. */
export function openBpfDelays({ layout, history, maxCgroups }: Options): DelaySource {
  const { object, programs, refused } = loadWhatWorks(readFileSync(bpfPath('delay_accounting')), {
    groups: { pass: ['pass_over_tasks'], ends: ['on_free'] },
    constants: { history: history ? 1 : 0, canonical_tree: canonicalTree(layout) },
    ...(maxCgroups !== undefined && { mapEntries: { totals: maxCgroups } }),
  })
  const { pass: iterator, ends } = programs
  if (object === undefined || iterator === undefined || ends === undefined) {
    object?.close()
    throw new Error(
      `the kernel refuses the BPF programs (${refusalText(refused)}) · fix: grant CAP_BPF and CAP_PERFMON, or run as root; Linux 5.12 or newer with BTF`,
    )
  }
  // The cell for what does not fit must be there before the map can be full.
  object.update('totals', cgroupKeys([0]), Buffer.alloc(TOTALS_SIZE))
  let pass = 0

  function next(): void {
    const value = Buffer.alloc(16)
    value.writeBigUInt64LE(BigInt(++pass))
    object?.update('passes', ONLY_KEY, value)
  }

  next()
  object.iterate(iterator)
  next() // from here on every task that was not seen is a new one

  return {
    collect() {
      object.iterate(iterator)
      const counters = decodeCounters(object.lookup('counters', ONLY_KEY))
      if (counters === undefined) throw new Error('delay_accounting.bpf.o is of another version · fix: build it again')
      const totals = decodeTotals(object.readMap('totals'), pass)
      next()
      const { counted, refused, noStorage } = counters
      return {
        totals,
        counted,
        losses: { map_full: refused, no_memory_for_task: noStorage, passed_over: object.passedOver(ends) },
      }
    },
    forget(cgroups) {
      if (cgroups.length > 0) object.remove('totals', cgroupKeys(cgroups))
    },
    memory: () => object.memory(),
    close: () => object.close(),
  }
}
