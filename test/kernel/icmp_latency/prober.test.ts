// Every probe ends as what really became of it: against a responder that counts what it does, and against tcpdump on the
// same packets.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { atEnd } from '../../ending.ts'
import { requires } from '../../requires.ts'
import { buildLibrary } from '../../tools/build.ts'
import type { Result } from './clock_child.ts'
import { nowMs, openProber, REPLY_TIMEOUT_MS, seenOf } from './probing.ts'
import { median, startResponder, startTcpdump } from './responder.ts'

const needs = requires('root', 'addon', 'tcpdump')
/** Of one address, where their times are compared. */
const PROBES = 60

function startProber(t: TestContext, pid: number, netns: number) {
  const prober = openProber(pid, netns)
  atEnd(t, () => prober.close())
  return prober
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

test('a clock that is set while replies are on their way spoils none of the samples', needs, async (t) => {
  const { namespace, pid, stop } = await startResponder(t, ['*:delay_us=300000'])
  const wire = await startTcpdump(t, namespace, 'tun0')
  const folder = mkdtempSync(join(tmpdir(), 'leadline-clock-'))
  atEnd(t, () => rmSync(folder, { recursive: true }))
  const clock = join(folder, 'clock')
  writeFileSync(clock, Buffer.alloc(8))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(import.meta.dirname, 'clock_child.ts'), String(pid), String(namespace.inode), clock],
    { env: { ...process.env, LD_PRELOAD: buildLibrary('clock_step'), CLOCK_STEP: clock } },
  )
  const truth = (await wire()).map(({ seconds }) => seconds)
  await stop()
  const { sent, lost, clockSet, secondsByMonotonic, setByMs, own }: Result = JSON.parse(stdout)
  t.diagnostic(`${sent} sent, ${own.length} measured, ${clockSet} dropped, the clock was set by ${setByMs} ms`)
  assert.ok(Math.abs(setByMs - 3_600_000) < 10_000, 'the clock of the process was set')
  assert.ok(secondsByMonotonic < 60)
  assert.deepEqual([sent, lost, truth.length], [100, 0, 100])
  assert.equal(own.length + clockSet, sent)
  // It is set after twenty; then the probes of some 300 ms, 20 ms apart, are on their way.
  assert.ok(own.length >= 20 && clockSet >= 5, `${clockSet} dropped`)
  assert.ok(Math.min(...own) >= Math.min(...truth) - 10e-6 && Math.max(...own) <= Math.max(...truth) + 1e-3)
})

/** Both in the order of the replies. */
const medianDifference = (ours: readonly number[], theirs: readonly number[]) =>
  median(ours.map((seconds, i) => Math.abs(seconds - (theirs[i] ?? Number.NaN))))
