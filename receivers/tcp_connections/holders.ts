// Whose a socket is when the control group that it was born in belongs to no container, or has ended: systemd opens
// sockets for the services it starts, and a server hands its own to the one that follows it. Then it is of whoever
// holds it.
import type { Cgroup, Host } from '../host/host.ts'
import type { Counting } from './bpf.ts'
import type { Flows } from './flows.ts'
import type { Connection } from './records.ts'

export type Holders = {
  /** Before a pass: what is open in flows of control groups that have ended is of its holders from then on. */
  ended(flows: Flows): void
  /** Listening sockets, as a pass found them. */
  seen(listening: readonly Connection[]): void
}

export function createHolders(host: Host, counting: Counting): Holders {
  /** Of no container. */
  const nobodies = new Set<number>()
  /** Ended. Some of their connections may be in nobody's hands for long: not accepted yet, or still being dialled. */
  const over = new Set<number>()
  /** `netns port` → the control group that the kernel was told. */
  const holders = new Map<string, number>()

  const stateOf = (cgroup: Cgroup | undefined) => cgroup && host.attribution(cgroup).state

  function judge(id: number): void {
    if (over.has(id)) return
    const isNobody = id === ROOT || stateOf(host.cgroup(id)) === 'none'
    if (isNobody === nobodies.has(id)) return
    if (!isNobody) drop(id)
    else if (counting.setNobody(id, true)) nobodies.add(id)
  }

  function end(id: number): void {
    if (over.size >= MOST_OVER) {
      const [oldest = id] = over
      drop(oldest)
    }
    if (counting.setNobody(id, true)) over.add(id)
  }

  return {
    ended(flows) {
      const open = new Set<number>()
      for (const { cgroup, active } of flows.all()) {
        if (cgroup.endedMs === undefined) continue
        if (active > 0) open.add(cgroup.id)
        else if (!over.has(cgroup.id)) end(cgroup.id)
      }
      // Last, so that they are the last to be dropped.
      for (const id of open) if (over.delete(id)) over.add(id)
      for (const id of open) if (!over.has(id)) end(id)
    },
    seen(listening) {
      const now = new Map<string, number>()
      for (const { cgroup, holderCgroup, netns, localPort } of listening) {
        if (cgroup === holderCgroup) continue
        judge(cgroup)
        // The kernel asks for it once the maker belongs to nobody, or has ended.
        if (stateOf(host.cgroup(holderCgroup)) === 'container') now.set(`${netns} ${localPort}`, holderCgroup)
      }
      for (const [key, cgroup] of now) if (holders.get(key) !== cgroup && set(key, cgroup)) holders.set(key, cgroup)
      for (const key of holders.keys()) if (!now.has(key) && set(key, 0)) holders.delete(key)
      for (const id of nobodies) if (host.cgroup(id) === undefined) drop(id)
    },
  }

  function set(key: string, cgroup: number): boolean {
    const [netns = 0, port = 0] = key.split(' ').map(Number)
    return counting.setHolder(netns, port, cgroup)
  }

  function drop(id: number): void {
    counting.setNobody(id, false)
    nobodies.delete(id)
    over.delete(id)
  }
}

/** Half of the kernel's map. */
const MOST_OVER = 512

/** Of the v2 tree; on hosts without one every socket says that it is from there. */
const ROOT = 1
