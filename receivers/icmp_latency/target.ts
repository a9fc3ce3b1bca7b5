// One address as seen from one namespace, which is asked once for all containers that talk to it from there.
import type { Cgroup } from '../host/host.ts'
import type { Attributes } from '../receiver.ts'
import type { Address } from './addresses.ts'
import {
  addAnswered,
  addRoundTrip,
  addUnanswered,
  type Failure,
  newRecent,
  newStatistics,
  type Recent,
  type Statistics,
} from './statistics.ts'

export type Target = {
  readonly netns: number
  readonly address: Address
  readonly attributes: Attributes
  /** Who talks to it: the top cgroup of a container → what it has seen since then. */
  readonly viewers: Map<Cgroup, Statistics>
  readonly recent: Recent
  /** When it is to be asked next, in milliseconds of the monotonic clock. */
  dueMs: number
  /** It was never asked. */
  isNew: boolean
  /** Probes without an answer since the last answer. */
  silent: number
  tcpSeconds: number | undefined
}

export const createTarget = (netns: number, address: Address, dueMs: number): Target => ({
  netns,
  address,
  attributes: Object.freeze({ destination_ip: address.text }),
  viewers: new Map(),
  recent: newRecent(),
  dueMs,
  isNew: true,
  silent: 0,
  tcpSeconds: undefined,
})

/** Somebody talks to it, from now on. */
export function addViewer(target: Target, viewer: Cgroup): void {
  if (!target.viewers.has(viewer)) target.viewers.set(viewer, newStatistics())
}

export function sent(target: Target): void {
  for (const seen of target.viewers.values()) seen.sent++
}

export function answered(target: Target, seconds: number, queuedS: number): void {
  target.silent = 0
  addAnswered(target.recent, seconds)
  for (const seen of target.viewers.values()) addRoundTrip(seen, seconds, queuedS)
}

export function lost(target: Target): void {
  target.silent++
  addUnanswered(target.recent)
  for (const seen of target.viewers.values()) seen.lost++
}

export function late(target: Target): void {
  for (const seen of target.viewers.values()) seen.late++
}

export function duplicated(target: Target): void {
  for (const seen of target.viewers.values()) seen.duplicated++
}

export function failed(target: Target, failure: Failure): void {
  for (const seen of target.viewers.values()) {
    seen.failed ??= new Map()
    seen.failed.set(failure, (seen.failed.get(failure) ?? 0) + 1)
  }
}
