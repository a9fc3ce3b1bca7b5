// Every probe ends as what really became of it: against a responder that counts what it does, and against tcpdump on the
// same packets.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEcho } from '../../../native/index.ts'
import type { Cgroup } from '../../../receivers/host/host.ts'
import type { Namespaces } from '../../../receivers/host/namespaces.ts'
import { parseAddress } from '../../../receivers/icmp_latency/addresses.ts'
import { createProber } from '../../../receivers/icmp_latency/prober.ts'
import { createSockets } from '../../../receivers/icmp_latency/sockets.ts'
import type { Statistics } from '../../../receivers/icmp_latency/statistics.ts'
import { addViewer, createTarget, type Target } from '../../../receivers/icmp_latency/target.ts'
import { atEnd } from '../../ending.ts'
import { listeningLog } from '../../receivers/quiet.ts'
import { requires } from '../../requires.ts'
import { median, startResponder, startTcpdump } from './responder.ts'

const needs = requires('root', 'addon', 'tcpdump')
const viewer: Cgroup = { kind: 'cgroup', id: 1, path: '/docker/1', bornMs: 0, endedMs: undefined }
const nowMs = () => Number(process.hrtime.bigint()) / 1e6
/** Long, because the responder is a process like any other, and may have to wait for a CPU. */
const REPLY_TIMEOUT_MS = 1500
/** Of one address, where their times are compared. */
const PROBES = 60

/** A prober that measures from the network namespace of a process. */
function startProber(t: TestContext, pid: number, netns: number) {
  const echo = openEcho()
  atEnd(t, () => echo.close())
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

  return { prober, sockets, target, ask, roundTrips }
}

const seenOf = (target: Target): Statistics => {
  const seen = target.viewers.get(viewer)
  assert.ok(seen)
  return seen
}

test('round trips are those that tcpdump sees, of IPv4 and IPv6, and none is missing', needs, async (t) => {
  const { namespace, pid, stop } = await startResponder(t, ['*:delay_us=5000'])
  const wire = await startTcpdump(t, namespace, 'tun0')
  const { target, ask, roundTrips, prober } = startProber(t, pid, namespace.inode)
  const targets = ['10.9.0.2', '10.9.0.3', 'fd09::2', 'fd09::3'].map(target)
  await ask(targets, PROBES, 500, 100)
  const truth = await wire()
  const done = await stop()

  assert.equal(done.get(-1)?.requests, 4 * PROBES)
  for (const [address, own] of roundTrips) {
    const seen = truth.filter((one) => one.address === address).map(({ seconds }) => seconds)
    assert.equal(seen.length, PROBES, `tcpdump saw all to ${address}`)
    assert.equal(own.length, PROBES, `all to ${address} are measured, also the first`)
    const [ours, theirs] = [median(own), median(seen)]
    t.diagnostic(`${address}: median ${(ours * 1e6).toFixed(1)} µs, tcpdump ${(theirs * 1e6).toFixed(1)} µs`)
    assert.ok(Math.abs(ours - theirs) <= 10e-6, `${address}: ${ours} against ${theirs}`)
    assert.ok(medianDifference(own, seen) <= 10e-6, `${address}: ${medianDifference(own, seen)} on the same packet`)
    assert.ok(Math.min(...own) >= 5e-3)
  }
  for (const one of targets) {
    const { sent, lost, buckets, roundTripS, queuedS } = seenOf(one)
    assert.deepEqual([sent, lost, buckets.reduce((all, count) => all + count)], [PROBES, 0, PROBES])
    const sum = (roundTrips.get(one.address.text) ?? []).reduce((all, seconds) => all + seconds)
    assert.ok(Math.abs(roundTripS - sum) < 1e-6)
    assert.ok(queuedS > 0 && queuedS < PROBES * 1e-3, 'TUN stamps when the driver gets it')
  }
  assert.deepEqual(
    Object.entries(prober.counts).filter(([, count]) => count > 0),
    [],
  )
})

test('lost, late and duplicated ones are counted as often as they were', needs, async (t) => {
  const fate = 'delay_us=2000,lost=10,duplicated=20,late=10,late_ms=4000'
  const { namespace, pid, stop } = await startResponder(t, [`2:${fate}`, `12:${fate}`])
  const wire = await startTcpdump(t, namespace, 'tun0')
  const { target, ask, prober } = startProber(t, pid, namespace.inode)
  const targets = [target('10.9.0.2'), target('fd09::c')]
  await ask(targets, 500, 5000)
  const truth = await wire()
  const done = await stop()

  for (const [last, one] of [
    [2, targets[0]],
    [12, targets[1]],
  ] as const) {
    assert.ok(one)
    const { requests, lost: swallowed = 0, late: delayed = 0, duplicated: doubled = 0 } = done.get(last) ?? {}
    const { sent, lost, late, duplicated, buckets } = seenOf(one)
    const answered = buckets.reduce((all, count) => all + count)
    // A responder that had to wait for a CPU is late as well.
    const own = truth.filter(({ address }) => address === one.address.text)
    const isLate = own.filter(({ seconds }) => seconds * 1000 > REPLY_TIMEOUT_MS).length
    t.diagnostic(`${one.address.text}: ${JSON.stringify({ swallowed, delayed, doubled })}`)
    assert.deepEqual([requests, own.length], [500, 500 - swallowed])
    assert.deepEqual(
      { sent, lost, late, duplicated, answered },
      { sent: 500, lost: swallowed + isLate, late: isLate, duplicated: doubled, answered: 500 - swallowed - isLate },
    )
    assert.ok(isLate >= delayed && delayed > 20 && doubled > 50)
  }
  assert.deepEqual(
    Object.entries(prober.counts).filter(([, count]) => count > 0),
    [],
  )
})

test('forged and truncated replies are no round trips, and errors are told by kind', needs, async (t) => {
  const fate = 'delay_us=500,unreachable=20,prohibited=15,expired=10,forged=10,truncated=15'
  const { namespace, pid, stop } = await startResponder(t, [`2:${fate}`, `12:${fate}`])
  const { target, ask, prober } = startProber(t, pid, namespace.inode)
  const targets = [target('10.9.0.2'), target('fd09::c')]
  await ask(targets, 200, 1000)
  const done = await stop()

  for (const [last, one] of [
    [2, targets[0]],
    [12, targets[1]],
  ] as const) {
    assert.ok(one)
    const { requests, forged, truncated, unreachable, prohibited, expired } = done.get(last) ?? {}
    const { lost, failed, sent } = seenOf(one)
    assert.deepEqual([requests, sent], [200, 200])
    assert.deepEqual(Object.fromEntries(failed ?? []), { unreachable, prohibited, time_exceeded: expired })
    const unanswered = [forged, truncated, unreachable, prohibited, expired].reduce((all = 0, n) => all + (n ?? 0), 0)
    assert.equal(lost, unanswered)
  }
  const both = (knob: string) => [2, 12].reduce((all, last) => all + (done.get(last)?.[knob] ?? 0), 0)
  assert.equal(prober.counts.forged, both('forged'))
  assert.equal(prober.counts.truncated, both('truncated'))
})

test('a main loop that is blocked for a second makes no latency and loses nothing', needs, async (t) => {
  const { namespace, pid, stop } = await startResponder(t, ['*:delay_us=5000'])
  const wire = await startTcpdump(t, namespace, 'tun0')
  const { target, roundTrips, prober } = startProber(t, pid, namespace.inode)
  const one = target('10.9.0.2')
  await sleep(100)
  prober.send(Array.from({ length: 100 }, (_, i) => ({ target: one, afterMs: i * 10 })))
  for (const untilMs = nowMs() + 1200; nowMs() < untilMs; );
  for (const untilMs = nowMs() + 2000; nowMs() < untilMs; await sleep(200)) prober.read()
  const seen = (await wire()).map(({ seconds }) => seconds)
  await stop()
  const own = roundTrips.get('10.9.0.2') ?? []
  assert.equal(own.length, 100)
  assert.equal(seenOf(one).lost, 0)
  assert.equal(seen.length, 100)
  assert.ok(Math.abs(Math.max(...own) - Math.max(...seen)) <= 1e-3, `at most ${Math.max(...own)}`)
  assert.ok(medianDifference(own, seen) <= 10e-6, `${medianDifference(own, seen)} on the same packet`)
})

/** Both in the order of the replies. */
const medianDifference = (ours: readonly number[], theirs: readonly number[]) =>
  median(ours.map((seconds, i) => Math.abs(seconds - (theirs[i] ?? Number.NaN))))
