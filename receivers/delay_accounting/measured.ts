// Whose waits for disk and memory may be told. A container with one task that the kernel does not measure has no disk
// delay, rather than one that is too small.
import type { Cgroup, Host } from '../host/host.ts'
import type { Totals } from './source.ts'

/**
 * Called once a collection; returns whether a control group's waits for disk and memory are complete.
 *
 * A control group is measured while the accounting is on, none of its tasks is without it, and none without it has ended
 * since the collection before. One that has ended keeps what it was, because nobody is left to look at. A container is
 * measured when all control groups in it are; what belongs to no container is judged by itself.
 */
export function startJudging(host: Host): (totals: readonly Totals[], on: boolean) => (cgroup: Cgroup) => boolean {
  let before = new Map<number, { readonly ended: number; readonly complete: boolean }>()

  return (totals, on) => {
    const now: typeof before = new Map()
    const partly = new Set<number>()
    for (const { cgroup, unmeasured, unmeasuredEnded } of totals) {
      const subject = host.cgroup(cgroup)
      if (subject === undefined) continue
      const last = before.get(cgroup)
      const clean = unmeasured === 0 && unmeasuredEnded === (last?.ended ?? 0)
      const complete = subject.endedMs === undefined || last === undefined ? on && clean : last.complete && clean
      now.set(cgroup, { ended: unmeasuredEnded, complete })
      if (!complete) partly.add(whole(host, subject).id)
    }
    before = now
    return (cgroup) => !partly.has(whole(host, cgroup).id)
  }
}

/** The container's top control group, or the one itself. */
function whole(host: Host, cgroup: Cgroup): Cgroup {
  const whose = host.attribution(cgroup)
  return whose.state === 'container' ? whose.container.top : cgroup
}
