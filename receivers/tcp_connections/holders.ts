// Whose a socket is when the control group that it was born in belongs to no container, or has ended: systemd opens
// sockets for the services it starts, and a server hands its own to the one that follows it. Then it is of whoever
// holds it.
import type { Cgroup, Host } from '../host/host.ts'
import type { Counting } from './bpf.ts'
import type { Flows } from './flows.ts'
import type { Connection } from './records.ts'

export type Holders = {
  /** Before a pass: what is open of control groups that have ended, or of no container, is of its holders from then on. */
  look(flows: Flows): void
  /** Listening sockets, as a pass found them. */
  seen(listening: readonly Connection[]): void
  /** Times that the kernel could not be told of a group or a listener, for want of room: what they have may vanish. */
  readonly refused: number
}

export function createHolders(host: Host, counting: Counting): Holders {
  /** Of no container. */
  const nobodies = new Set<number>()
  /** Ended. Some of their connections may be in nobody's hands for long: not accepted yet, or still being dialled. */
  const over = new Set<number>()
  /** struct listener → the control group that the kernel was told. */
  const holders = new Map<string, number>()

  let refused = 0

  const stateOf = (cgroup: Cgroup | undefined) => cgroup && host.attribution(cgroup).state

  function judge(id: number): void {
    if (over.has(id)) return
    const isNobody = id === ROOT || stateOf(host.cgroup(id)) === 'none'
    if (isNobody === nobodies.has(id)) return
    if (!isNobody) drop(id)
    else if (setNobody(id)) nobodies.add(id)
  }

  function end(id: number): void {
    if (over.size >= MOST_OVER) {
      const [oldest = id] = over
      drop(oldest)
    }
    if (setNobody(id)) over.add(id)
  }

  function setNobody(id: number): boolean {
    const isSet = counting.setNobody(id, true)
    if (!isSet) refused++
    return isSet
  }

  function set(key: string, cgroup: number): boolean {
    const isSet = counting.setHolder(Buffer.from(key, 'latin1'), cgroup)
    if (!isSet) refused++
    return isSet
  }

  return {
    look(flows) {
      const [open, alive] = [new Set<number>(), new Set<number>()]
      for (const { cgroup, active } of flows.all()) {
        if (cgroup.endedMs === undefined) {
          if (active > 0) alive.add(cgroup.id)
        } else if (active > 0) open.add(cgroup.id)
        else if (!over.has(cgroup.id)) end(cgroup.id)
      }
      for (const id of alive) judge(id)
      refused += Math.max(0, open.size - MOST_OVER)
      // Last, so that they are the last to be dropped.
      for (const id of open) if (over.delete(id)) over.add(id)
      for (const id of open) if (!over.has(id)) end(id)
    },
    seen(listening) {
      const now = new Map<string, number>()
      const disputed = new Set<string>()
      for (const listener of listening) {
        const { cgroup, holderCgroup } = listener
        if (cgroup === holderCgroup) continue
        judge(cgroup)
        // The kernel asks for it once the maker belongs to nobody, or has ended.
        if (stateOf(host.cgroup(holderCgroup)) !== 'container') continue
        const key = keyOf(listener)
        // Several of one address: whoever is seen to hold what was accepted has it.
        if ((now.get(key) ?? holderCgroup) !== holderCgroup) disputed.add(key)
        now.set(key, holderCgroup)
      }
      for (const key of disputed) now.delete(key)
      for (const [key, cgroup] of now) if (holders.get(key) !== cgroup && set(key, cgroup)) holders.set(key, cgroup)
      for (const key of holders.keys()) if (!now.has(key) && set(key, 0)) holders.delete(key)
      for (const id of nobodies) if (host.cgroup(id) === undefined) drop(id)
    },
    get refused() {
      return refused
    },
  }

  function drop(id: number): void {
    counting.setNobody(id, false)
    nobodies.delete(id)
    over.delete(id)
  }
}

/** struct listener of bpf/tcp_owners.h. */
function keyOf({ local, netns, localPort }: Connection): string {
  const key = Buffer.alloc(24)
  key.set(local, 0)
  key.writeUInt32LE(netns, 16)
  key.writeUInt32LE(localPort, 20)
  return key.toString('latin1')
}

/** Half of the kernel's map. */
const MOST_OVER = 512

/** Of the v2 tree; on hosts without one every socket says that it is from there. */
const ROOT = 1
