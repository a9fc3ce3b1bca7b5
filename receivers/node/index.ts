// The machine that all containers share: its CPUs, memory, disks, network interfaces and pressure, from /proc.
import { join } from 'node:path'
import * as z from 'zod/mini'
import { parseSingle } from '../cgroup/files.ts'
import { parseDiskstats, SECTOR_BYTES } from '../diskstats.ts'
import type { Host } from '../host/host.ts'
import { FULL, parsePressure, SOME } from '../pressure.ts'
import { type Attributes, defineReceiver } from '../receiver.ts'
import { type CpuMode, parseMeminfo, parseNetDev, parseSchedstat, parseStat, parseUptime } from './files.ts'
import { metrics, type Name } from './metrics.ts'

/** The peer's choice of whole disks, and of more than 26 of them. */
const WHOLE_DISK = /^(?:dm-\d+|(?:s|h|xv|v)d[a-z]+|md\d+|mmcblk\d+|nvme\d+n\d+|rbd\d+)$/
/** The peer's choice of interfaces: those that lead out of the machine, and bridges that an administrator made. */
const INTERFACE =
  /^(?:en(?:p\d+)?p\d+s\d+(?:f\d+)?|eth\d+|eno\d+|ens\d+|em\d+|bond\d+|p\d+p\d+|enx[0-9a-f]+|br\d+|vmbr\d+)/i

const MEMORY = {
  MemTotal: 'node.resources.memory.total',
  MemFree: 'node.resources.memory.free',
  MemAvailable: 'node.resources.memory.available',
  Cached: 'node.resources.memory.cached',
} as const

type Say = (metric: Name, value: number, attributes?: Attributes) => void

export default defineReceiver({
  name: 'node',
  summary: 'What the machine has and uses: CPUs, memory, disks, network interfaces, pressure.',
  stability: 'alpha',
  config: z.strictObject({}),
  metrics,
  needs: [],

  start(_config, { host }) {
    const { hostname, kernelVersion } = host.identity
    const info = Object.freeze({ hostname, kernel_version: kernelVersion })
    const labels = createLabels()
    const highest = new Map<CpuMode, number>()
    // PID 1's network namespace is the machine's also when we run in another.
    const netDev = isReadable(host, '/proc/1/net/dev') ? '/proc/1/net/dev' : '/proc/net/dev'

    return {
      collect(out) {
        const say: Say = (metric, value, attributes) => out.record(host.node, metric, value, attributes)
        /** Reads a file; what has none of the numbers that we know is a failure, what is not there is not. */
        const read = (path: string, tell: (text: string) => unknown) => {
          try {
            const text = host.read(path)
            if (text !== undefined && tell(text) === false) out.failed(unexpected(path, text))
          } catch (error) {
            out.failed(new Error(`cannot read ${path}: ${(error as Error).message} · fix: run as root`))
          }
        }

        say('node.info', 1, info)
        read('/proc/uptime', (text) => tellOne(say, 'node.uptime', parseUptime(text)))
        read('/proc/stat', (text) => {
          const { seconds, cpus } = parseStat(text)
          for (const [mode, value] of seconds) {
            // idle and iowait may go back by a tick (proc(5)); a counter that does is taken for one that began anew.
            const reached = Math.max(value, highest.get(mode) ?? 0)
            highest.set(mode, reached)
            say('node.resources.cpu.usage', reached, labels('mode', mode))
          }
          if (cpus > 0) say('node.resources.cpu.logical_cores', cpus)
          return seconds.size > 0
        })
        tellBusy(host, read, say)
        read('/proc/meminfo', (text) => {
          const bytes = parseMeminfo(text)
          for (const [key, metric] of Object.entries(MEMORY)) tellOne(say, metric, bytes.get(key))
          return bytes.size > 0
        })
        read('/proc/diskstats', (text) => {
          const { disks, junk } = parseDiskstats(text)
          for (const disk of disks) {
            if (!WHOLE_DISK.test(disk.name)) continue
            const device = labels('device', disk.name)
            say('node.resources.disk.reads', disk.reads, device)
            say('node.resources.disk.writes', disk.writes, device)
            say('node.resources.disk.read', disk.readSectors * SECTOR_BYTES, device)
            say('node.resources.disk.written', disk.writtenSectors * SECTOR_BYTES, device)
            say('node.resources.disk.read_time', disk.readMs / 1000, device)
            say('node.resources.disk.write_time', disk.writeMs / 1000, device)
            say('node.resources.disk.io_time', disk.ioMs / 1000, device)
          }
          return junk === undefined
        })
        read(netDev, (text) => {
          const interfaces = parseNetDev(text)
          for (const [name, traffic] of interfaces) {
            if (!INTERFACE.test(name)) continue
            const label = labels('interface', name)
            say('node.net.received', traffic.receivedBytes, label)
            say('node.net.transmitted', traffic.sentBytes, label)
            say('node.net.received_packets', traffic.receivedPackets, label)
            say('node.net.transmitted_packets', traffic.sentPackets, label)
          }
          return interfaces.size > 0
        })
        for (const resource of ['cpu', 'memory', 'io'] as const) {
          read(`/proc/pressure/${resource}`, (text) => {
            const { someUs, fullUs, junk } = parsePressure(text)
            const metric = `node.resources.${resource}.pressure.waiting` as const
            if (someUs !== undefined) say(metric, someUs / 1e6, SOME)
            // For the whole machine "all wait for a CPU" is not defined, and the kernel writes 0 (psi.rst).
            if (fullUs !== undefined && resource !== 'cpu') say(metric, fullUs / 1e6, FULL)
            return junk === undefined
          })
        }
      },
    }
  },
})

/**
 * The root of v1's cpuacct adds up every task's nanoseconds. The root of the v2 tree does not help: its cpu.stat
 * repeats /proc/stat (kernel/cgroup/rstat.c, root_cgroup_cputime).
 */
function tellBusy(host: Host, read: (path: string, tell: (text: string) => unknown) => void, say: Say): void {
  const cpuacct = host.layout.v1.get('cpuacct')
  if (cpuacct !== undefined) {
    read(join(cpuacct, 'cpuacct.usage'), (text) => {
      const ns = parseSingle(text)
      return tellOne(say, 'node.resources.cpu.busy', ns === undefined ? undefined : ns / 1e9)
    })
  } else {
    // Another version is no failure: we do not know what it counts.
    read('/proc/schedstat', (text) => void tellOne(say, 'node.resources.cpu.busy', parseSchedstat(text)))
  }
}

function isReadable(host: Host, path: string): boolean {
  try {
    return host.read(path) !== undefined
  } catch {
    return false
  }
}

function tellOne(say: Say, metric: Name, value: number | undefined): boolean {
  if (value === undefined || !Number.isFinite(value)) return false
  say(metric, value)
  return true
}

/** One frozen object for each pair, so that they are interned by identity. */
function createLabels() {
  const known = new Map<string, Attributes>()
  return (key: 'mode' | 'device' | 'interface', value: string): Attributes => {
    const id = `${key}=${value}`
    const label = known.get(id) ?? Object.freeze({ [key]: value })
    known.set(id, label)
    return label
  }
}

const unexpected = (path: string, text: string) =>
  new Error(
    `cannot understand ${path}, which begins with ${JSON.stringify(text.slice(0, 40))} · fix: report this and what uname -r prints`,
  )
