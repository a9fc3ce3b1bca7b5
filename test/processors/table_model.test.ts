// The table against the simplest thing that could be right: add every increase to a number when it is seen.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Point } from '../../processors/processor.ts'
import { createTable } from '../../processors/table.ts'
import { batch, cgroup, type LivingCgroup, PROMETHEUS, point, random, resource } from './given.ts'

const FORGET_AFTER_MS = 300_000
const NAMES = ['a', 'b', 'c', 'd']
const RECEIVERS = ['cgroup', 'delay_accounting']

const rowKey = (name: string) => name.replace(' ', '.c ')

type Simulated = { subject: LivingCgroup; container: string; kernel: Map<string, number> }
type Truth = { total: number; subjects: Set<LivingCgroup>; leftMs: number; toldAt: Map<LivingCgroup, number> }

/** What was said of one subject by one receiver last. */
type Said = { value: number; container: string }

function simulate(seed: number, rounds: number) {
  const next = random(seed)
  const upTo = (end: number) => Math.floor(next() * end)
  const pick = <T>(from: readonly T[]): T => {
    const one = from[upTo(from.length)]
    assert.ok(one !== undefined)
    return one
  }

  const clock = { nowMs: 1_000_000 }
  const table = createTable({ view: PROMETHEUS, forgetAfterMs: FORGET_AFTER_MS, now: () => clock.nowMs })
  const resources = new Map(NAMES.map((name) => [name, resource(name)]))
  const counters = new Map<string, Truth>()
  const gauges = new Map<string, Map<string, number>>(RECEIVERS.map((receiver) => [receiver, new Map()]))
  const said = new Map<string, Said>()
  const seen = new Map<string, number>()
  const collections = new Map<string, number>()
  let simulated: Simulated[] = []
  let births = 0

  function isOver({ endedMs }: LivingCgroup): boolean {
    return endedMs !== undefined && clock.nowMs - endedMs > FORGET_AFTER_MS
  }

  function believe(receiver: string, { subject, container, kernel }: Simulated) {
    if (isOver(subject)) return
    const value = kernel.get(receiver) ?? 0
    const key = `${receiver} ${subject.id}`
    const before = said.get(key)
    const name = `${receiver} ${container}`
    let truth = counters.get(name)
    const isNew = truth === undefined
    truth ??= { total: 0, subjects: new Set(), leftMs: Number.NaN, toldAt: new Map() }

    let increase = before === undefined || value < before.value ? value : value - before.value
    if (before !== undefined && before.container !== container) {
      const old = counters.get(`${receiver} ${before.container}`)
      assert.ok(old)
      old.subjects.delete(subject)
      if (isNew && old.subjects.size === 0) {
        increase += old.total // the series got another name
        counters.delete(`${receiver} ${before.container}`)
        seen.delete(rowKey(`${receiver} ${before.container}`)) // who bears the old name next begins anew
      } else if (old.subjects.size === 0) {
        old.leftMs = clock.nowMs
      }
    }
    truth.total += increase
    truth.subjects.add(subject)
    truth.toldAt.set(subject, collections.get(receiver) ?? 0)
    truth.leftMs = Number.NaN
    counters.set(name, truth)
    said.set(key, { value, container })
  }

  function collect(receiver: string) {
    collections.set(receiver, (collections.get(receiver) ?? 0) + 1)
    const points: Point[] = []
    const alive = new Map<string, number>()
    for (const one of simulated) {
      if (next() < 0.3) continue // missed this time
      const given = resources.get(one.container)
      points.push(
        point({ subject: one.subject, name: `${receiver}.c`, value: one.kernel.get(receiver) ?? 0, resource: given }),
      )
      points.push(histogramOf(receiver, one))
      believe(receiver, one)
      if (one.subject.endedMs !== undefined) continue
      const value = upTo(100)
      points.push(point({ subject: one.subject, name: `${receiver}.u`, value, kind: 'updowncounter', resource: given }))
      alive.set(one.container, (alive.get(one.container) ?? 0) + value)
    }
    gauges.set(receiver, alive)
    table.apply(batch(points, clock.nowMs, receiver))
  }

  /** Counts what the counter counts, and in its buckets as often and twice as often. */
  function histogramOf(receiver: string, { subject, container, kernel }: Simulated): Point {
    const value = kernel.get(receiver) ?? 0
    const counts = Float64Array.of(value, 2 * value, 0)
    const given = resources.get(container)
    return point({ subject, name: `${receiver}.h`, value, counts, kind: 'histogram', resource: given })
  }

  function forget() {
    for (const [name, { subjects, leftMs }] of counters) {
      const isForgotten = subjects.size > 0 ? [...subjects].every(isOver) : clock.nowMs - leftMs > FORGET_AFTER_MS
      for (const subject of subjects) {
        if (!isOver(subject)) continue
        subjects.delete(subject)
        said.delete(`${name.split(' ')[0]} ${subject.id}`)
      }
      if (!isForgotten) continue
      counters.delete(name)
      seen.delete(rowKey(name))
    }
    table.forget()
    simulated = simulated.filter(({ subject }) => !isOver(subject) || next() < 0.5) // some receivers report the dead for long
  }

  function live() {
    for (const { subject, kernel } of simulated) {
      if (subject.endedMs !== undefined && next() < 0.7) continue // last numbers may come late
      for (const receiver of RECEIVERS) {
        const reset = next() < 0.03
        kernel.set(receiver, (reset ? 0 : (kernel.get(receiver) ?? 0)) + upTo(1000))
      }
    }
    if (next() < 0.5)
      simulated.push({ subject: cgroup(++births, clock.nowMs), container: pick(NAMES), kernel: new Map() })
    for (const one of simulated) {
      if (one.subject.endedMs !== undefined) continue
      if (next() < 0.08) one.subject.endedMs = clock.nowMs
      else if (next() < 0.05) one.container = pick(NAMES)
    }
    clock.nowMs += upTo(60_000)
  }

  function check() {
    const expected = new Map<string, number>()
    for (const [name, { total, subjects, toldAt }] of counters) {
      const nowAt = collections.get(name.split(' ')[0] ?? '') ?? 0
      const isTold = (subject: LivingCgroup) => subject.endedMs !== undefined || nowAt - (toldAt.get(subject) ?? 0) < 2
      if (subjects.size > 0 && ![...subjects].some(isTold)) continue
      expected.set(rowKey(name), total)
      expected.set(rowKey(name).replace('.c ', '.h '), total)
    }
    for (const [receiver, values] of gauges) {
      for (const [name, value] of values) expected.set(`${receiver}.u ${name}`, value)
    }
    const actual = new Map<string, number>()
    for (const row of table.rows()) {
      const key = `${row.name} ${row.attributes.container_id?.replace('/docker/', '')}`
      assert.ok(!actual.has(key), `${key} is there once`)
      assert.ok(row.startMs <= clock.nowMs && row.observedMs <= clock.nowMs)
      actual.set(key, row.value)
      if (row.counts) assert.deepEqual([...row.counts], [row.value, 2 * row.value, 0], key)
      if (row.metric.kind === 'counter') assert.ok(row.value >= (seen.get(key) ?? 0), `${key} went down`)
    }
    for (const [key, value] of actual) seen.set(key, value)
    assert.deepEqual(Object.fromEntries([...actual].sort()), Object.fromEntries([...expected].sort()))
    assert.equal(
      table.size,
      [...gauges.values()].reduce((sum, { size }) => sum + size, 2 * counters.size),
    )
  }

  for (let round = 0; round < rounds; round++) {
    live()
    if (next() < 0.5) forget()
    for (const receiver of RECEIVERS) if (next() < 0.9) collect(receiver)
    check()
  }
  assert.equal(table.refused, 0)

  for (const { subject } of simulated) subject.endedMs ??= clock.nowMs
  clock.nowMs += 2 * FORGET_AFTER_MS
  for (const receiver of RECEIVERS) collect(receiver)
  forget()
  assert.equal(table.size, 0, 'nothing is left of the dead')
}

test('births, deaths, restarts, renames, missed collections and resets add up to the truth', () => {
  for (let seed = 1; seed <= 200; seed++) {
    try {
      simulate(seed, 100)
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
})
