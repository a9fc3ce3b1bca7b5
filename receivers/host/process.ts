// Processes by /proc (proc(5)): who, since when, in which control group. Read now, never remembered from a fork,
// because a task at fork is still in its runtime's cgroup.
import { readFileSync } from 'node:fs'

const text = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined // processes end
  }
}

/** Start time in clock ticks since boot (field 22). With the pid it names one process for ever. */
export function startTicks(stat: string): number | undefined {
  // comm may hold anything, spaces, newlines and parentheses too, so count from its last parenthesis.
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  return field === undefined || !/^\d+$/.test(field) ? undefined : Number(field)
}

export const processStart = (proc: string, pid: number): number | undefined => {
  const stat = text(`${proc}/${pid}/stat`)
  return stat === undefined ? undefined : startTicks(stat)
}

/**
 * The path in one hierarchy out of /proc/PID/cgroup (cgroups(7)).
 * `controller` is '' for the v2 tree, else a v1 controller's name.
 */
export function cgroupPath(cgroupFile: string, controller: string): string | undefined {
  for (const line of cgroupFile.split('\n')) {
    const [, controllers, ...path] = line.split(':')
    if (controllers?.split(',').includes(controller)) return path.join(':').replace(/ \(deleted\)$/, '')
  }
  return undefined
}

export const processCgroup = (proc: string, pid: number, controller: string): string | undefined => {
  const file = text(`${proc}/${pid}/cgroup`)
  return file === undefined ? undefined : cgroupPath(file, controller)
}
