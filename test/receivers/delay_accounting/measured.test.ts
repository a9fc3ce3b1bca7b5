// A container with one process that the kernel does not measure has no disk delay, rather than one that is too small.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startJudging } from '../../../receivers/delay_accounting/measured.ts'
import type { Totals } from '../../../receivers/delay_accounting/source.ts'
import type { Cgroup } from '../../../receivers/host/host.ts'
import { fixture, fixtureHost } from '../fixture_host.ts'

function setUp() {
  const host = fixtureHost({
    cgroups: fixture('cgroup/v2'),
    containers: ['/docker/a', '/docker/b'],
    others: ['/docker/a/nested', '/user.slice'],
  })
  const at = (path: string): Cgroup => {
    const found = host.cgroupAt(path)
    assert.ok(found)
    return found
  }
  const judge = startJudging(host)
  const totals = (path: string, unmeasured = 0, unmeasuredEnded = 0): Totals => ({
    ...{ cgroup: at(path).id, ns: [], unmeasured, unmeasuredEnded },
  })
  return { at, judge, totals }
}

test('one unmeasured process anywhere in a container takes the whole of it, and only it', () => {
  const { at, judge, totals } = setUp()
  const is = judge(
    [totals('/docker/a'), totals('/docker/a/nested', 1), totals('/docker/b'), totals('/user.slice')],
    true,
  )
  assert.equal(is(at('/docker/a')), false)
  assert.equal(is(at('/docker/a/nested')), false)
  assert.equal(is(at('/docker/b')), true)
  assert.equal(is(at('/user.slice')), true)
})

test('one that ended since the last time makes this one incomplete, and no later one', () => {
  const { at, judge, totals } = setUp()
  assert.equal(judge([totals('/docker/a', 0, 0)], true)(at('/docker/a')), true)
  assert.equal(judge([totals('/docker/a', 0, 2)], true)(at('/docker/a')), false)
  assert.equal(judge([totals('/docker/a', 0, 2)], true)(at('/docker/a')), true)
})

test('nothing is complete while the accounting is off', () => {
  const { at, judge, totals } = setUp()
  assert.equal(judge([totals('/docker/a')], false)(at('/docker/a')), false)
  assert.equal(judge([totals('/docker/a')], true)(at('/docker/a')), true)
})

test('what has ended keeps what it was, also when the accounting is switched off then', () => {
  const { at, judge, totals } = setUp()
  const [whole, partly] = [at('/docker/a'), at('/docker/b')]
  judge([totals('/docker/a'), totals('/docker/b', 1)], true)
  const last = [totals('/docker/a'), totals('/docker/b')]
  whole.endedMs = partly.endedMs = 5
  const is = judge(last, false)
  assert.deepEqual([is(whole), is(partly)], [true, false])
  const again = judge(last, false)
  assert.deepEqual([again(whole), again(partly)], [true, false])
})

test('what the host does not know is not judged', () => {
  const { at, judge } = setUp()
  assert.equal(judge([{ cgroup: 99_999, ns: [], unmeasured: 1, unmeasuredEnded: 1 }], true)(at('/docker/a')), true)
})
