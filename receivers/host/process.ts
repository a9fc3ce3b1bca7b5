// Processes by /proc (proc(5)): who, since when, in which control group. Read now, never remembered from a fork,
// because a task at fork is still in its runtime's cgroup.
import { readFileSync } from 'node:fs'

const PF_EXITING = 0x4

/** What /proc/PID/stat says, as far as it matters here. */
export type ProcessStat = {
  /** Clock ticks since boot; with the pid it names a process for ever. */
  readonly startTicks: number
  /** On its way out, or a zombie. */
  readonly exiting: boolean
}

/** Fields 3, 9 and 22. Undefined for what is no such line. */
export function parseStat(text: string): ProcessStat | undefined {
  // comm may hold anything, spaces, newlines and parentheses too, so count from its last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [flags, startTicks] = [Number(fields[6] || Number.NaN), Number(fields[19] || Number.NaN)]
  if (!Number.isInteger(flags) || !Number.isInteger(startTicks)) return undefined
  return { startTicks, exiting: (flags & PF_EXITING) !== 0 || /^[ZXx]/.test(fields[0] ?? '') }
}

/** Undefined when the process has been reaped. `proc` is where proc is mounted. */
export const processStat = (proc: string, pid: number): ProcessStat | undefined =>
  parseStat(textOf(`${proc}/${pid}/stat`))

/**
 * A path out of /proc/PID/cgroup (cgroups(7)), as it stands there: relative to the reader's cgroup namespace.
 * `controller` is '' for the v2 tree, else a v1 controller's name.
 */
export function cgroupPath(cgroupFile: string, controller: string): string | undefined {
  for (const line of cgroupFile.split('\n')) {
    const [, controllers, ...path] = line.split(':')
    if (controllers?.split(',').includes(controller)) return path.join(':')
  }
  return undefined
}

/**
 * Undefined when the process has ended or the hierarchy is not there. Of one that is ending a v1 hierarchy tells `/`,
 * wherever it was (proc_cgroup_show, kernel/cgroup/cgroup.c): that is no answer.
 */
export function processCgroup(proc: string, pid: number, controller: string): string | undefined {
  const path = cgroupPath(textOf(`${proc}/${pid}/cgroup`), controller)
  const mayBeEnding = controller !== '' && path === '/'
  return mayBeEnding && processStat(proc, pid)?.exiting !== false ? undefined : path
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // processes end
  }
}
