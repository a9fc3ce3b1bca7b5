// What cgroup files leave out: the names of the disks they number, and how many CPUs there are to be restricted from.
import { parseDiskstats } from '../diskstats.ts'
import type { Host } from '../host/host.ts'
import type { Attributes } from '../receiver.ts'
import { parseCpuCount } from './files.ts'
import type { Machine } from './sources.ts'

/** Both as they were at the last `refresh`. Files that cannot be read leave numbers for names, and no CPU count. */
export function watchMachine(host: Host): Machine & { refresh(): void } {
  let names = new Map<string, string>()
  let onlineCpus = 0
  const byName = new Map<string, Attributes>()

  return {
    refresh() {
      const { disks } = parseDiskstats(host.read('/proc/diskstats') ?? '')
      names = new Map(disks.map(({ number, name }) => [number, name]))
      onlineCpus = parseCpuCount(host.read('/sys/devices/system/cpu/online') ?? '') ?? 0
    },
    get onlineCpus() {
      return onlineCpus
    },
    device(number) {
      // A disk that was pulled is in io.stat for a while longer.
      const name = names.get(number) ?? number
      const attributes = byName.get(name) ?? Object.freeze({ device: name })
      byName.set(name, attributes)
      return attributes
    },
  }
}
