// Since when the kernel measures what tasks wait for disk and memory: only tasks forked while kernel.task_delayacct is 1
// have what it needs (Documentation/accounting/delay-accounting.rst). Waits for a CPU are always measured.
import { readFileSync } from 'node:fs'
import type { TaskStats } from './decode.ts'

const SWITCH = '/proc/sys/kernel/task_delayacct'
/** USER_HZ of /proc, the same on all architectures that we run on. */
const TICKS_PER_SECOND = 100

export type Accounting = {
  /** Looks at the switch again. */
  look(): void
  isOn(): boolean
  isMeasured(stats: TaskStats, startTicks: number | undefined): boolean
}

/** What there is to read. `sysctl` is undefined on kernels without the switch (before 5.14). */
export type AccountingFiles = { sysctl(): string | undefined; cmdline(): string; uptime(): string }

const readOrUndefined = (path: string) => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

export const accountingFiles: AccountingFiles = {
  sysctl: () => readOrUndefined(SWITCH),
  cmdline: () => readOrUndefined('/proc/cmdline') ?? '',
  uptime: () => readFileSync('/proc/uptime', 'latin1'),
}

/** Kernels without the switch always measure, unless booted with `nodelayacct`. */
export function accountingIsOn({ sysctl, cmdline }: AccountingFiles): boolean {
  const text = sysctl()
  return text === undefined ? !cmdline().split(/\s+/).includes('nodelayacct') : text.trim() === '1'
}

export function watchAccounting(files: AccountingFiles = accountingFiles): Accounting {
  const nowTicks = () => Number(files.uptime().split(' ')[0]) * TICKS_PER_SECOND
  const parameters = files.cmdline().split(/\s+/)
  const sinceBoot = parameters.includes('delayacct') || files.sysctl() === undefined
  let on = accountingIsOn(files)
  /** What was forked from here on is certainly measured. */
  let sinceTicks = on ? (sinceBoot ? 0 : nowTicks()) : Number.POSITIVE_INFINITY
  /** We saw it off, so nothing older than `sinceTicks` is measured wholly. */
  let sawOff = !on

  return {
    look() {
      const now = accountingIsOn(files)
      if (now && !on) sinceTicks = nowTicks()
      if (!now) {
        sinceTicks = Number.POSITIVE_INFINITY
        sawOff = true
      }
      on = now
    },
    isOn: () => on,
    isMeasured(stats, startTicks) {
      if (!on) return false
      // One that we never saw alive is younger than our last look at all processes.
      if (startTicks === undefined || startTicks >= sinceTicks) return true
      // Older than we know of. Any process that is measured has copied a page since it was forked (version 13 counts that).
      return !sawOff && (stats.wpcopyCount === undefined ? stats.waited : stats.wpcopyCount > 0)
    },
  }
}
