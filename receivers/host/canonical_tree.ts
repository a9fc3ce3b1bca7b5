// How our BPF programs are told which tree of control groups names them (bpf/common.bpf.h).
import type { CgroupLayout } from './host.ts'

/** `enum` in bpf/common.bpf.h. */
const CANONICAL_TREES: Readonly<Record<string, number>> = { memory: 1, cpu: 2, cpuacct: 3, pids: 4 }

/** What the programs need to know of the host's control groups: the constant `canonical_tree`. Throws with a remedy. */
export function canonicalTree({ mode, canonicalController }: CgroupLayout): number {
  if (mode !== 'v1') return 0
  const tree = CANONICAL_TREES[canonicalController]
  if (tree === undefined) {
    throw new Error(
      `BPF cannot tell the control groups of the hierarchy ${canonicalController} · fix: mount the controller memory, cpu, cpuacct or pids, or the v2 tree`,
    )
  }
  return tree
}
