// kernel.task_delayacct: on, off, switched while we look, not there; and whose waits were measured wholly.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accountingIsOn, watchAccounting } from '../../../receivers/delay_accounting/accounting.ts'
import type { TaskStats } from '../../../receivers/delay_accounting/decode.ts'

function machine(given: { sysctl?: string | undefined; cmdline?: string; uptime?: string } = {}) {
  const files = { sysctl: '0\n' as string | undefined, cmdline: 'quiet splash\n', uptime: '1000.00 99.00\n', ...given }
  return {
    set: (sysctl: string, uptime: string) => Object.assign(files, { sysctl, uptime }),
    files: { sysctl: () => files.sysctl, cmdline: () => files.cmdline, uptime: () => files.uptime },
  }
}
const stats = (given: Partial<TaskStats> = {}): TaskStats => ({
  ...{ version: 16, ns: new Float64Array(8), wpcopyCount: 0, accounted: true, waited: false },
  ...{ ppid: 1, tgid: 2, last: true, leader: true },
  ...given,
})

test('kernels without the switch measure, unless they were told not to', () => {
  assert.equal(accountingIsOn(machine({ sysctl: undefined }).files), true)
  assert.equal(accountingIsOn(machine({ sysctl: undefined, cmdline: 'ro nodelayacct' }).files), false)
  assert.equal(accountingIsOn(machine({ sysctl: undefined, cmdline: 'ro nodelayaccts' }).files), true)
  assert.equal(accountingIsOn(machine({ sysctl: '0\n' }).files), false)
  assert.equal(accountingIsOn(machine({ sysctl: '1\n' }).files), true)
})

test('while it is off nothing is measured', () => {
  const accounting = watchAccounting(machine().files)
  assert.equal(accounting.isOn(), false)
  assert.equal(accounting.isMeasured(stats({ wpcopyCount: 5 }), 50), false)
  assert.equal(accounting.isMeasured(stats(), undefined), false)
})

test('switched on, what is forked from then on is measured, and what is older is not pretended to be', () => {
  const { files, set } = machine()
  const accounting = watchAccounting(files)
  set('1\n', '1000.50 99.00\n')
  assert.equal(accounting.isOn(), false, 'until we look')
  accounting.look()
  assert.equal(accounting.isOn(), true)
  assert.equal(accounting.isMeasured(stats(), 100_050), true)
  assert.equal(accounting.isMeasured(stats(), 100_049), false)
  assert.equal(accounting.isMeasured(stats({ wpcopyCount: 5, waited: true }), 100_049), false)
  // One that we never saw alive began after our last look at all.
  assert.equal(accounting.isMeasured(stats(), undefined), true)

  set('0\n', '1100.00 99.00\n')
  accounting.look()
  assert.equal(accounting.isMeasured(stats(), 100_060), false)
  set('1\n', '1200.00 99.00\n')
  accounting.look()
  assert.equal(accounting.isMeasured(stats(), 100_060), false, 'it was off in between')
  assert.equal(accounting.isMeasured(stats(), 120_000), true)
})

test('on before we came: by the boot for all, else for those who show that they are measured', () => {
  const boot = watchAccounting(machine({ sysctl: '1\n', cmdline: 'ro delayacct' }).files)
  assert.equal(boot.isMeasured(stats(), 1), true)
  const always = watchAccounting(machine({ sysctl: undefined }).files)
  assert.equal(always.isMeasured(stats(), 1), true)
  const later = watchAccounting(machine({ sysctl: '1\n' }).files)
  assert.equal(later.isMeasured(stats({ wpcopyCount: 0 }), 1), false)
  assert.equal(later.isMeasured(stats({ wpcopyCount: 1 }), 1), true)
  assert.equal(later.isMeasured(stats({ wpcopyCount: undefined, waited: true }), 1), true)
  assert.equal(later.isMeasured(stats({ wpcopyCount: undefined, waited: false }), 1), false)
  assert.equal(later.isMeasured(stats(), 100_000), true)
})
