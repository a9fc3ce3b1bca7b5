// Processes by /proc (proc(5)): who, since when, in which control group. Read now, never remembered from a fork,
// because a task at fork is still in its runtime's cgroup.
import { readFileSync } from 'node:fs'

/** One process for ever: a pid is used again, a pid with its start time is not. */
export type ProcessId = {
  readonly pid: number
  /** When it was started, in clock ticks since boot. */
  readonly startTicks: number
}

/** Field 22 of /proc/PID/stat. Undefined for what is no such line. */
export function startTicks(stat: string): number | undefined {
  // comm may hold anything, spaces, newlines and parentheses too, so count from its last parenthesis.
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  return field === undefined || !/^\d+$/.test(field) ? undefined : Number(field)
}

/** Undefined when the process has ended. `proc` is where proc is mounted. */
export function processId(proc: string, pid: number): ProcessId | undefined {
  const ticks = startTicks(textOf(`${proc}/${pid}/stat`))
  return ticks === undefined ? undefined : { pid, startTicks: ticks }
}

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

/** Undefined when the process has ended or the hierarchy is not there. */
export const processCgroup = (proc: string, pid: number, controller: string): string | undefined =>
  cgroupPath(textOf(`${proc}/${pid}/cgroup`), controller)

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // processes end
  }
}
