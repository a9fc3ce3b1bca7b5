// Reads the machine-wide files of /proc: stat, schedstat, meminfo, uptime and net/dev (proc(5)).
// What is not exactly what the kernel writes gives no number.

/** Modes of /proc/stat in their order. Guests are in user and nice already. */
export const CPU_MODES = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const
export type CpuMode = (typeof CPU_MODES)[number]

/** USER_HZ, which is 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100

/** Seconds of all CPUs by mode, and how many CPUs are online. */
export function parseStat(text: string): { readonly seconds: ReadonlyMap<CpuMode, number>; readonly cpus: number } {
  const [, fields = ''] = /^cpu +((?:\d{1,20} )*\d{1,20})\n/.exec(text) ?? []
  const ticks = fields === '' ? [] : fields.split(' ').map(Number)
  const seconds = new Map<CpuMode, number>()
  for (const [i, mode] of CPU_MODES.entries()) {
    const value = ticks[i]
    if (value !== undefined) seconds.set(mode, value / TICKS_PER_SECOND)
  }
  return { seconds, cpus: text.match(/^cpu\d+ /gm)?.length ?? 0 }
}

/**
 * Seconds that tasks ran, all CPUs together, as the scheduler measures it in nanoseconds. Undefined for a version
 * that is not known to count in nanoseconds (Documentation/scheduler/sched-stats.rst: 15 to 17).
 */
export function parseSchedstat(text: string): number | undefined {
  const version = Number(/^version (\d+)\n/.exec(text)?.[1] ?? 0)
  if (version < 15 || version > 17) return undefined
  let ns = 0
  let cpus = 0
  for (const [, running = ''] of text.matchAll(/^cpu\d+ (?:\d+ ){6}(\d{1,20}) \d+ \d+\n/gm)) {
    ns += Number(running)
    cpus++
  }
  return cpus > 0 ? ns / 1e9 : undefined
}

/** Bytes by name. The file's `kB` are 1024 bytes. */
export function parseMeminfo(text: string): ReadonlyMap<string, number> {
  const bytes = new Map<string, number>()
  for (const [, name = '', kib = ''] of text.matchAll(/^([\w()]+): +(\d{1,16}) kB\n/gm)) {
    bytes.set(name, Number(kib) * 1024)
  }
  return bytes
}

/** Seconds since boot. */
export function parseUptime(text: string): number | undefined {
  const [, seconds] = /^(\d{1,12}\.\d\d) \d+\.\d\d\n$/.exec(text) ?? []
  return seconds === undefined ? undefined : Number(seconds)
}

export type Traffic = {
  readonly receivedBytes: number
  readonly receivedPackets: number
  readonly sentBytes: number
  readonly sentPackets: number
}

/** /proc/net/dev by interface: a name may hold anything but a slash and white space, also a colon. */
export function parseNetDev(text: string): ReadonlyMap<string, Traffic> {
  const interfaces = new Map<string, Traffic>()
  for (const [, name = '', fields = ''] of text.matchAll(/^ *(\S+): *((?:\d{1,20} +){15}\d{1,20})\n/gm)) {
    const [receivedBytes = 0, receivedPackets = 0, , , , , , , sentBytes = 0, sentPackets = 0] = fields
      .split(/ +/)
      .map(Number)
    interfaces.set(name, { receivedBytes, receivedPackets, sentBytes, sentPackets })
  }
  return interfaces
}
