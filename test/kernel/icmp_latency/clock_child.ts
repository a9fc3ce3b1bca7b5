// Measures while the clock of this process is set by an hour (test/tools/clock_step.c), and prints what came of it.
// clock_child.ts PID NETNS FILE
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs, openProber, REPLY_TIMEOUT_MS, seenOf } from './probing.ts'

export type Result = {
  readonly sent: number
  readonly lost: number
  readonly clockSet: number
  /** Of all measured ones. */
  readonly own: readonly number[]
  /** By the clock of the day, and by the one that nobody sets. */
  readonly setByMs: number
  readonly secondsByMonotonic: number
}

const HOUR_NS = 3_600_000_000_000n
const ADDRESS = '10.9.0.2'
const [pid, netns, clock = ''] = process.argv.slice(2)
const { prober, target, roundTrips, close } = openProber(Number(pid), Number(netns))
const one = target(ADDRESS)
const [startedMs, dateMs] = [nowMs(), Date.now()]
await sleep(100)
prober.send(Array.from({ length: 100 }, (_, i) => ({ target: one, afterMs: i * 20 })))
while ((roundTrips.get(ADDRESS)?.length ?? 0) < 20) {
  await sleep(20)
  prober.read()
}
const step = Buffer.alloc(8)
step.writeBigInt64LE(HOUR_NS)
writeFileSync(clock, step, { flag: 'r+' })
for (const untilMs = nowMs() + 1000 + REPLY_TIMEOUT_MS + 1000; nowMs() < untilMs; await sleep(200)) prober.read()
const { sent, lost } = seenOf(one)
const result: Result = {
  sent,
  lost,
  clockSet: prober.counts.clock_set,
  own: roundTrips.get(ADDRESS) ?? [],
  setByMs: Date.now() - dateMs,
  secondsByMonotonic: (nowMs() - startedMs) / 1000,
}
process.stdout.write(JSON.stringify(result))
close()
