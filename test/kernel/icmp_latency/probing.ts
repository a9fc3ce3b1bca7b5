// A prober that measures from the network namespace of a process, and remembers every round trip.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEcho } from '../../../native/index.ts'
import type { Cgroup } from '../../../receivers/host/host.ts'
import type { Namespaces } from '../../../receivers/host/namespaces.ts'
import { parseAddress } from '../../../receivers/icmp_latency/addresses.ts'
import { createProber } from '../../../receivers/icmp_latency/prober.ts'
import { createSockets } from '../../../receivers/icmp_latency/sockets.ts'
import type { Statistics } from '../../../receivers/icmp_latency/statistics.ts'
import { addViewer, createTarget, type Target } from '../../../receivers/icmp_latency/target.ts'
import { listeningLog } from '../../receivers/quiet.ts'

const viewer: Cgroup = { kind: 'cgroup', id: 1, path: '/docker/1', bornMs: 0, endedMs: undefined }
export const nowMs = () => Number(process.hrtime.bigint()) / 1e6
/** Long, because the responder is a process like any other, and may have to wait for a CPU. */
export const REPLY_TIMEOUT_MS = 1500
/** The caller closes it. */
export function openProber(pid: number, netns: number) {
  const echo = openEcho()
  const namespaces = {
    has: () => true,
    within<T>(_netns: number, use: (fd: number) => T): T {
      const fd = openSync(`/proc/${pid}/ns/net`, 'r')
      try {
        return use(fd)
      } finally {
        closeSync(fd)
      }
    },
  } as unknown as Namespaces
  const sockets = createSockets(echo, namespaces, listeningLog(), nowMs)
  const prober = createProber({ echo, sockets, now: nowMs, replyTimeoutMs: REPLY_TIMEOUT_MS })
  const roundTrips = new Map<string, number[]>()

  function target(text: string): Target {
    const address = parseAddress(text)
    assert.ok(address)
    const made = createTarget(netns, address, 0)
    addViewer(made, viewer)
    const own: number[] = []
    roundTrips.set(text, own)
    // The target remembers the last five, and we all of them.
    const { seconds } = made.recent
    seconds.push = (second: number) => {
      if (!Number.isNaN(second)) own.push(second)
      seconds[seconds.length] = second
      return seconds.length
    }
    return made
  }

  /** Asks each so many times, and waits until all that can come has come. */
  async function ask(targets: readonly Target[], times: number, waitMs: number, everyMs = 10): Promise<void> {
    await sleep(100) // the kernel begins to stamp
    const atOnce = 500 / everyMs
    for (let i = 0; i < times; i += atOnce) {
      const some = Array.from({ length: Math.min(atOnce, times - i) }, (_, k) => k * everyMs)
      prober.send(some.flatMap((afterMs) => targets.map((target) => ({ target, afterMs }))))
      await sleep(500)
      prober.read()
    }
    for (const untilMs = nowMs() + REPLY_TIMEOUT_MS + waitMs; nowMs() < untilMs; await sleep(200)) prober.read()
  }

  return { prober, target, ask, roundTrips, close: () => echo.close() }
}

export const seenOf = (target: Target): Statistics => {
  const seen = target.viewers.get(viewer)
  assert.ok(seen)
  return seen
}
