// Kills that ended the container itself: its files went with it, so what the kernel told at the exit counts.
import type { Cgroup, Host } from '../host/host.ts'

export type Kills = {
  /** What a cgroup's file said last, if it said something. */
  told(cgroup: Cgroup, count: number | undefined): void
  /** The final count of each cgroup that ended with kills, for as long as the host remembers it. */
  ofTheEnded(): Iterable<readonly [Cgroup, number]>
}

/** `ownOnly`: a cgroup's file counts only its own processes (v1), not those of the cgroups inside (v2). */
export function rememberKills(host: Host, ownOnly: boolean): Kills {
  const byFile = new WeakMap<Cgroup, number>()

  /** Whose file counted a kill in this cgroup; undefined when it belongs to no container that we know. */
  function counter(cgroup: Cgroup): Cgroup | undefined {
    const whose = host.attribution(cgroup)
    // While its runtime has not answered the top is not known; the next collection asks again.
    if (whose.state !== 'container') return undefined
    return ownOnly ? cgroup : whose.container.top
  }

  return {
    told(cgroup, count) {
      if (count !== undefined) byFile.set(cgroup, count)
    },
    ofTheEnded() {
      const ended = new Map<Cgroup, number>()
      for (const [id, count] of host.oomKills?.() ?? []) {
        const cgroup = host.cgroup(id)
        const counted = cgroup && counter(cgroup)
        // A living one is read from its file.
        if (counted === undefined || counted.endedMs === undefined) continue
        ended.set(counted, (ended.get(counted) ?? 0) + count)
      }
      // The file may know of kills from before we came.
      for (const [cgroup, count] of ended) ended.set(cgroup, Math.max(count, byFile.get(cgroup) ?? 0))
      return ended
    },
  }
}
