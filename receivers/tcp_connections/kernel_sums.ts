// Carries over what the kernel has summed into flows, and removes from its map what has been idle for long.
import type { Host } from '../host/host.ts'
import { ALL_GROUPS, type Counting } from './bpf.ts'
import type { Flows, TcpFlow } from './flows.ts'
import {
  activeOf,
  addDifference,
  checkSizes,
  decodeKey,
  KEY_SIZE,
  type Key,
  minRttOf,
  nothingSeen,
  type Seen,
} from './totals.ts'

/** How long the numbers of a control group that the host does not know are kept for it. */
const KEEP_UNKNOWN_MS = 60_000

/** Where an opening was lost, its end is one too many. */
const openIn = (seen: Seen): number => Math.max(0, activeOf(seen))

type Cell = {
  readonly bytes: Buffer
  readonly key: Key
  readonly seen: Seen
  /** Undefined while the host does not know the control group. */
  flow: TcpFlow | undefined
  changedMs: number
}

export type KernelSums = {
  /** After each pass. `flows` have been set to no active connections before. */
  carryOver(nowMs: number): void
  /** Keys that the kernel's map holds. */
  readonly size: number
  /** Keys whose control group nobody ever knew, or that have none. */
  readonly unattributed: number
}

type Options = {
  readonly counting: Counting
  readonly flows: Flows
  readonly host: Host
  readonly forgetAfterMs: number
}

export function createKernelSums({ counting, flows, host, forgetAfterMs }: Options): KernelSums {
  const cells = new Map<string, Cell>()
  let unattributed = 0

  function cellOf(text: string, bytes: Buffer, nowMs: number): Cell | undefined {
    const known = cells.get(text)
    if (known !== undefined) return known
    const key = decodeKey(bytes)
    if (key === undefined) return undefined
    const cell = { bytes: Buffer.from(bytes), key, seen: nothingSeen(), flow: undefined, changedMs: nowMs }
    cells.set(text, cell)
    return cell
  }

  function flowOf({ key, flow }: Cell): TcpFlow | undefined {
    if (flow !== undefined && flow.forgottenMs === undefined) return flow
    const cgroup = host.cgroup(key.cgroup)
    if (cgroup === undefined) return undefined
    const { address, port } = key
    return flows.of({ ...key, cgroup, ...(key.state === 'direct' && !key.incoming && { actual: { address, port } }) })
  }

  function take(cell: Cell, value: Buffer, nowMs: number): void {
    cell.flow = flowOf(cell)
    const { flow, seen } = cell
    if (flow === undefined) return
    if (addDifference(value, seen, flow.sums)) {
      cell.changedMs = nowMs
      flow.lastMs = nowMs
    }
    // Without passes the kernel knows only of those that began after us, and somebody else lists all.
    if (counting.passes) flow.active += openIn(seen)
    const us = minRttOf(seen, counting.passNumber)
    if (us !== undefined) flow.minRttUs = Math.min(flow.minRttUs ?? us, us)
  }

  function prune(nowMs: number): void {
    const left = new Map<number, number>()
    const changed = new Set<number>()
    for (const [text, cell] of cells) {
      const { cgroup, state } = cell.key
      if (isOver(cell, nowMs)) {
        // Whatever came since it was read, a moment ago, is taken along.
        const last = counting.total(cell.bytes)
        if (last !== undefined) take(cell, last, nowMs)
        if (openIn(cell.seen) !== 0 && cell.flow?.cgroup.endedMs === undefined && cell.flow) continue
        counting.forget([cell.bytes])
        cells.delete(text)
        changed.add(cgroup)
        if (cell.flow === undefined) unattributed++
      } else if (state !== 'folded') {
        left.set(cgroup, (left.get(cgroup) ?? 0) + 1)
      }
    }
    for (const cgroup of changed) counting.setQuota(cgroup, left.get(cgroup) ?? 0)
    if (changed.size > 0)
      counting.setQuota(
        ALL_GROUPS,
        Array.from(left.values()).reduce((all, keys) => all + keys, 0),
      )
  }

  function isOver({ flow, seen, changedMs }: Cell, nowMs: number): boolean {
    if (flow === undefined) return nowMs - changedMs > KEEP_UNKNOWN_MS
    // Whoever holds a connection of an ended group may not have shown himself yet: it waits to be accepted, say.
    const isOpen = openIn(seen) !== 0
    if (flow.cgroup.endedMs !== undefined) {
      return nowMs - changedMs > (isOpen && counting.passes ? forgetAfterMs : KEEP_UNKNOWN_MS)
    }
    return !isOpen && nowMs - changedMs > forgetAfterMs
  }

  return {
    carryOver(nowMs) {
      const content = counting.totals()
      checkSizes(content)
      const { count, keys, values, valueSize } = content
      for (let i = 0; i < count; i++) {
        const at = i * KEY_SIZE
        const cell = cellOf(keys.toString('latin1', at, at + KEY_SIZE), keys.subarray(at, at + KEY_SIZE), nowMs)
        if (cell !== undefined) take(cell, values.subarray(i * valueSize, (i + 1) * valueSize), nowMs)
      }
      prune(nowMs)
    },
    get size() {
      return cells.size
    },
    get unattributed() {
      return unattributed
    },
  }
}
