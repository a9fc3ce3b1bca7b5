// Which file of which hierarchy tells what: cgroup v2, v1, and the mixture of both, controller by controller.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { CgroupLayout } from '../host/host.ts'
import { FULL, parsePressure, SOME } from '../pressure.ts'
import type { Attributes } from '../receiver.ts'
import {
  coresOf,
  type DiskUse,
  parseBlkio,
  parseCpuCount,
  parseCpuMax,
  parseFlatKeyed,
  parseIoStat,
  parseSingle,
} from './files.ts'
import type { Name } from './metrics.ts'

/** Takes a number for a metric. Several for one metric without attributes: the smallest limit, the largest count. */
export type Say = (metric: Name, value: number, attributes?: Attributes) => void

export type Source = {
  /** Mount point of the hierarchy. */
  readonly mount: string
  /** Names in a cgroup's directory there. All of them are needed. */
  readonly files: readonly string[]
  /** Says what the texts tell, and returns the first line that it did not understand. */
  read(say: Say, ...texts: string[]): string | undefined
}

export type Sources = {
  /** Of a container's top cgroup: what they tell includes the cgroups inside it. */
  readonly whole: readonly Source[]
  /** Limits, which hold for every cgroup below as well. */
  readonly limits: readonly Source[]
  /** What the kernel counts for each cgroup by itself, so that those inside must be read too. */
  readonly single: readonly Source[]
}

/** What a source must know of the machine. */
export type Machine = {
  readonly onlineCpus: number
  /** The attributes for a MAJ:MIN. */
  device(number: string): Attributes
}

export function sourcesOf(layout: CgroupLayout, machine: Machine): Sources {
  const whole: Source[] = []
  const limits: Source[] = []
  const single: Source[] = []
  const v2 = layout.mode === 'v1' ? undefined : layout.root
  const add = (list: Source[], mount: string | undefined, files: string | readonly string[], read: Source['read']) => {
    if (mount !== undefined) list.push({ mount, files: typeof files === 'string' ? [files] : files, read })
  }

  // Each cgroup of the v2 tree has cpu.stat (since 4.15) and pressures, whatever controllers are there.
  add(whole, v2, 'cpu.stat', readCpuStat)
  if (v2 === undefined) add(whole, layout.v1.get('cpuacct'), 'cpuacct.usage', readCpuacctUsage)
  for (const resource of ['cpu', 'memory', 'io'] as const) {
    add(whole, v2, `${resource}.pressure`, (say, text) => readPressure(say, resource, text))
  }

  const cpu = layout.v1.get('cpu')
  if (cpu !== undefined) add(whole, cpu, 'cpu.stat', readCpuStat)
  add(whole, cpu ?? v2, 'cpu.stat.local', readCpuStat)
  if (cpu !== undefined) add(limits, cpu, ['cpu.cfs_quota_us', 'cpu.cfs_period_us'], readCfsQuota)
  else add(limits, v2, 'cpu.max', readCpuMax)

  const cpuset = layout.v1.get('cpuset')
  const readCpus: Source['read'] = (say, text) => readCpuset(say, text, machine.onlineCpus)
  if (cpuset !== undefined) add(whole, cpuset, first(cpuset, 'cpuset.effective_cpus', 'cpuset.cpus'), readCpus)
  else add(whole, v2, 'cpuset.cpus.effective', readCpus)

  const memory = layout.v1.get('memory')
  if (memory !== undefined) {
    add(whole, memory, 'memory.stat', readMemoryStatV1)
    add(single, memory, 'memory.oom_control', readOomKills)
  } else {
    add(whole, v2, 'memory.stat', readMemoryStat)
    add(whole, v2, 'memory.events', readOomKills)
    add(limits, v2, 'memory.max', readMemoryMax)
  }

  add(whole, layout.v1.get('pids') ?? v2, 'pids.current', readPids)

  const blkio = layout.v1.get('blkio')
  if (blkio !== undefined) {
    const inclusive = existsSync(join(blkio, 'blkio.throttle.io_serviced_recursive'))
    const suffix = inclusive ? '_recursive' : ''
    const list = inclusive ? whole : single
    add(list, blkio, `blkio.throttle.io_serviced${suffix}`, (say, text) => readBlkio(say, text, 'operations', machine))
    add(list, blkio, `blkio.throttle.io_service_bytes${suffix}`, (say, text) => readBlkio(say, text, 'bytes', machine))
  } else {
    add(whole, v2, 'io.stat', (say, text) => readIoStat(say, text, machine))
  }
  return { whole, limits, single }
}

/** The root has the same files as all others, except those that only make sense below it. */
const first = (mount: string, name: string, otherwise: string) => (existsSync(join(mount, name)) ? name : otherwise)

/** cpu.stat and cpu.stat.local of both versions: v1 has nanoseconds, v2 microseconds, and the names tell which. */
function readCpuStat(say: Say, text: string): string | undefined {
  const { values, junk } = parseFlatKeyed(text)
  const tell = (metric: Name, key: string, unit: number) => {
    const value = values.get(key)
    if (value !== undefined) say(metric, value / unit)
  }
  tell('container.resources.cpu.usage', 'usage_usec', 1e6)
  // cpu.stat counts what the group's own quota held back; cpu.stat.local what any quota did, its own or one above
  // (6.6, "sched: add throttled time stat for throttled children"). Both only grow, and so does the larger of them.
  tell('container.resources.cpu.throttled', 'throttled_usec', 1e6)
  tell('container.resources.cpu.throttled', 'throttled_time', 1e9)
  tell('container.resources.cpu.periods', 'nr_periods', 1)
  tell('container.resources.cpu.throttled_periods', 'nr_throttled', 1)
  return junk
}

function readCpuacctUsage(say: Say, text: string): string | undefined {
  return tellFinite(say, 'container.resources.cpu.usage', parseSingle(text), text, 1e9)
}

function readCfsQuota(say: Say, quota: string, period: string): string | undefined {
  const cores = coresOf(parseSingle(quota), parseSingle(period))
  return tellFinite(say, 'container.resources.cpu.limit_cores', cores, `${quota}${period}`)
}

function readCpuMax(say: Say, text: string): string | undefined {
  return tellFinite(say, 'container.resources.cpu.limit_cores', parseCpuMax(text), text)
}

function readCpuset(say: Say, text: string, onlineCpus: number): string | undefined {
  const cpus = parseCpuCount(text)
  if (cpus === undefined) return text
  // All that are online is no restriction; none is a cpuset that nobody has set up yet.
  if (cpus > 0 && cpus < onlineCpus) say('container.resources.cpu.limit_cores', cpus)
  return undefined
}

function readMemoryMax(say: Say, text: string): string | undefined {
  return tellFinite(say, 'container.resources.memory.limit', parseSingle(text), text)
}

/** Says nothing of Infinity, which is the absence of a limit. */
function tellFinite(say: Say, metric: Name, value: number | undefined, text: string, unit = 1): string | undefined {
  if (value === undefined) return text
  if (value !== Number.POSITIVE_INFINITY) say(metric, value / unit)
  return undefined
}

function readMemoryStat(say: Say, text: string): string | undefined {
  const { values, junk } = parseFlatKeyed(text)
  tellMemory(say, values.get('anon'), values.get('file_mapped'), values.get('file'))
  return junk
}

/** The limit of a v1 cgroup without one is LONG_MAX rounded down to a page; nobody sets one above this. */
const UNLIMITED_BYTES = 2 ** 62

function readMemoryStatV1(say: Say, text: string): string | undefined {
  const { values, junk } = parseFlatKeyed(text)
  tellMemory(say, values.get('total_rss'), values.get('total_mapped_file'), values.get('total_cache'))
  const limit = values.get('hierarchical_memory_limit')
  if (limit !== undefined && limit <= UNLIMITED_BYTES) say('container.resources.memory.limit', limit)
  return junk
}

function tellMemory(say: Say, anon?: number, mapped?: number, cache?: number): void {
  if (anon !== undefined && mapped !== undefined) say('container.resources.memory.rss', anon + mapped)
  if (cache !== undefined) say('container.resources.memory.cache', cache)
}

/** memory.events, whose counts include the cgroups inside, or v1's memory.oom_control, whose count does not (4.13). */
function readOomKills(say: Say, text: string): string | undefined {
  const { values, junk } = parseFlatKeyed(text)
  const kills = values.get('oom_kill')
  if (kills !== undefined) say('container.oom_kills', kills)
  return junk
}

function readPids(say: Say, text: string): string | undefined {
  return tellFinite(say, 'container.resources.pids', parseSingle(text), text)
}

function readPressure(say: Say, resource: 'cpu' | 'memory' | 'io', text: string): string | undefined {
  const { someUs, fullUs, junk } = parsePressure(text)
  const metric = `container.resources.${resource}.pressure.waiting` as const
  if (someUs !== undefined) say(metric, someUs / 1e6, SOME)
  if (fullUs !== undefined) say(metric, fullUs / 1e6, FULL)
  return junk
}

const IO_METRICS: Readonly<Record<keyof DiskUse, Name>> = {
  reads: 'container.resources.disk.reads',
  writes: 'container.resources.disk.writes',
  readBytes: 'container.resources.disk.read',
  writtenBytes: 'container.resources.disk.written',
}

function readIoStat(say: Say, text: string, machine: Machine): string | undefined {
  const { values, junk } = parseIoStat(text)
  for (const [device, use] of values) {
    const attributes = machine.device(device)
    for (const [key, metric] of Object.entries(IO_METRICS)) {
      const value = use[key as keyof DiskUse]
      if (value !== undefined) say(metric, value, attributes)
    }
  }
  return junk
}

function readBlkio(say: Say, text: string, what: 'operations' | 'bytes', machine: Machine): string | undefined {
  const { values, junk } = parseBlkio(text)
  for (const [device, { read, write }] of values) {
    const attributes = machine.device(device)
    if (read !== undefined) say(what === 'bytes' ? IO_METRICS.readBytes : IO_METRICS.reads, read, attributes)
    if (write !== undefined) say(what === 'bytes' ? IO_METRICS.writtenBytes : IO_METRICS.writes, write, attributes)
  }
  return junk
}
