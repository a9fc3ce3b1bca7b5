// Whose a socket is when the control group that it was born in belongs to no container: systemd opens sockets for the
// services it starts, and a runtime for containers. Then it is of whoever holds it.
import type { Cgroup, Host } from '../host/host.ts'
import type { Counting } from './bpf.ts'
import type { Connection } from './records.ts'

export type Holders = {
  /** Listening sockets, as a pass found them. */
  seen(listening: readonly Connection[]): void
}

export function createHolders(host: Host, counting: Counting): Holders {
  const nobodies = new Set<number>()
  /** `netns port` → the control group that the kernel was told. */
  const holders = new Map<string, number>()

  const stateOf = (cgroup: Cgroup | undefined) => cgroup && host.attribution(cgroup).state

  function judge(id: number): boolean {
    const state = id === ROOT ? 'none' : stateOf(host.cgroup(id))
    const isNobody = state === 'none'
    if (isNobody === nobodies.has(id)) return isNobody
    if (!isNobody) nobodies.delete(id)
    else if (counting.setNobody(id, true)) nobodies.add(id)
    if (!isNobody) counting.setNobody(id, false)
    return isNobody
  }

  return {
    seen(listening) {
      const now = new Map<string, number>()
      for (const { cgroup, holderCgroup, netns, localPort } of listening) {
        if (cgroup === holderCgroup || !judge(cgroup)) continue
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
  }
}

/** Of the v2 tree; on hosts without one every socket says that it is from there. */
const ROOT = 1
