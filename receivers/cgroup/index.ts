// What every container uses and is allowed, from the files of its cgroup.
// Always of its top cgroup, which counts for all cgroups inside; and a limit holds wherever above it is set.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as z from 'zod/mini'
import type { Cgroup } from '../host/host.ts'
import { defineReceiver, type Output } from '../receiver.ts'
import { watchMachine } from './machine.ts'
import { metrics, type Name } from './metrics.ts'
import { rememberKills } from './oom_kills.ts'
import { createReading } from './reading.ts'
import { type Say, sourcesOf } from './sources.ts'

/** How long we hold the event loop before others may have it. */
const SLICE_MS = 5

const LIMITS: ReadonlySet<Name> = new Set(['container.resources.cpu.limit_cores', 'container.resources.memory.limit'])

export default defineReceiver({
  name: 'cgroup',
  summary:
    'What each container uses of CPU, memory, disks and process numbers, what it is allowed, and what it waits for.',
  stability: 'alpha',
  config: z.strictObject({}),
  metrics,
  needs: [
    {
      name: 'cgroup v2 and PSI',
      why: 'only the v2 tree tells how long the tasks of one cgroup waited',
      degrades: 'container.resources.{cpu,memory,io}.pressure.waiting stay absent',
      fix: 'boot with psi=1, and with systemd.unified_cgroup_hierarchy=1 where there is no v2 tree',
      check: () => existsSync('/proc/pressure/cpu'),
    },
  ],

  start(_config, { host }) {
    const machine = watchMachine(host)
    const sources = sourcesOf(host.layout, machine)
    const whole = createReading([...sources.whole, ...sources.limits, ...sources.single])
    const above = createReading(sources.limits)
    const inside = createReading(sources.single)
    const readings = [whole, above, inside]
    const kills = rememberKills(host, sources.single.length > 0)

    return {
      async collect(out) {
        machine.refresh()
        const complaints = createComplaints(out)
        const takeTurns = createTurns()
        const limits = new Map<string, ReadonlyMap<Name, number>>()

        /** The limits that hold at a path: the smallest from there to the root. */
        function limitsAt(path: string): ReadonlyMap<Name, number> {
          const known = limits.get(path)
          if (known !== undefined) return known
          const numbers = new Map(path === '/' ? [] : limitsAt(dirname(path)))
          const cgroup = host.cgroupAt(path)
          if (cgroup !== undefined) above.read(cgroup, gather(numbers), complaints.add)
          limits.set(path, numbers)
          return numbers
        }

        const tops = new Set<Cgroup>()
        for (const { top } of host.containers()) tops.add(top)
        for (const top of tops) {
          const numbers = new Map(limitsAt(dirname(top.path)))
          whole.read(top, gather(numbers, out, top), complaints.add)
          // Limits alone are those of the groups above: the container itself has ended.
          if (numbers.keys().every((name) => LIMITS.has(name))) continue
          for (const [name, value] of numbers) out.record(top, name, value)
          kills.told(top, numbers.get('container.oom_kills'))
          await takeTurns()
        }

        if (sources.single.length > 0) {
          for (const cgroup of [...host.cgroups()]) {
            if (tops.has(cgroup) || host.attribution(cgroup).state !== 'container') continue
            const numbers = new Map<Name, number>()
            inside.read(cgroup, gather(numbers, out, cgroup), complaints.add)
            for (const [name, value] of numbers) out.record(cgroup, name, value)
            kills.told(cgroup, numbers.get('container.oom_kills'))
            await takeTurns()
          }
        }
        for (const [cgroup, count] of kills.ofTheEnded()) out.record(cgroup, 'container.oom_kills', count)
        complaints.tell()
        for (const reading of readings) reading.sweep()
      },
      stop() {
        for (const reading of readings) reading.close()
      },
    }
  },
})

/** Numbers without attributes are kept, the smallest limit and the largest count; those with attributes go out. */
function gather(numbers: Map<Name, number>, out?: Output<Name>, subject?: Cgroup): Say {
  return (metric, value, attributes) => {
    if (attributes !== undefined) {
      if (out !== undefined && subject !== undefined) out.record(subject, metric, value, attributes)
      return
    }
    const before = numbers.get(metric)
    if (before === undefined) numbers.set(metric, value)
    else numbers.set(metric, LIMITS.has(metric) ? Math.min(before, value) : Math.max(before, value))
  }
}

/** What a kernel writes otherwise than we expect, it writes so for every container: said once for each file. */
function createComplaints(out: Output<Name>) {
  const byFile = new Map<string, { readonly error: Error; count: number }>()
  return {
    add(file: string, error: Error) {
      const known = byFile.get(file)
      if (known === undefined) byFile.set(file, { error, count: 1 })
      else known.count++
    },
    tell() {
      for (const { error, count } of byFile.values()) {
        if (count > 1) error.message += ` (and ${count - 1} more of the same name)`
        out.failed(error)
      }
    },
  }
}

/** Gives the event loop back when a slice of time is used up. */
function createTurns(): () => Promise<void> {
  let startMs = performance.now()
  return async () => {
    if (performance.now() - startMs < SLICE_MS) return
    await nextTurn()
    startMs = performance.now()
  }
}
