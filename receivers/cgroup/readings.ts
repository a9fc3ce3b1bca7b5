// Reads one control group's files, of whichever version its controller lives in. What is not there is not reported.
import type { CgroupLayout } from '../host/host.ts'
import type { Attributes } from '../receiver.ts'
import { parseBlkio, parseCpuMax, parseFlat, parseIoStat, parseNumber, parsePressure } from './files.ts'
import type { Name } from './metrics.ts'

export type Sink = (metric: Name, value: number, attributes?: Attributes) => void
export type Reading = {
  readonly layout: CgroupLayout
  /** Path of the container's top cgroup. */
  readonly path: string
  /** A file's text; undefined when it is not there. */
  readonly read: (file: string) => string | undefined
  readonly record: Sink
  /** A file is there and is not what the kernel documents. */
  readonly unreadable: (file: string, text: string) => void
  readonly deviceName: (majorMinor: string) => string
}

/** v1 shows "no limit" as the largest page-aligned number; the peer takes anything above this for it. */
const V1_UNLIMITED = 2 ** 62
const SOME: Attributes = Object.freeze({ kind: 'some' })
const FULL: Attributes = Object.freeze({ kind: 'full' })

// Divisors, because 1e-6 has no exact binary form and 1e6 has.
const USEC = 1e6
const NSEC = 1e9

/** The group and those around it, without the root, which has no limits. */
function* around(path: string): Generator<string> {
  for (let at = path; at !== '' && at !== '/'; at = at.slice(0, at.lastIndexOf('/'))) yield at
}

/** Folder of a controller for this path: in its v1 hierarchy, else in the v2 tree. */
const folderOf = ({ layout }: Reading, controller: string) => {
  const v1 = layout.v1.get(controller)
  return v1 === undefined ? { root: layout.root, version: 2 as const } : { root: v1, version: 1 as const }
}

/** Reads and parses; undefined when the file is absent, told when it makes no sense. */
function parsed<T>(reading: Reading, file: string, parse: (text: string) => T | undefined): T | undefined {
  const text = reading.read(file)
  if (text === undefined) return undefined
  const value = parse(text)
  if (value === undefined) reading.unreadable(file, text)
  return value
}

function smallest(reading: Reading, root: string, limitOf: (folder: string) => number | undefined): number | undefined {
  let least: number | undefined
  for (const path of around(reading.path)) {
    const limit = limitOf(`${root}${path}`)
    if (limit !== undefined && (least === undefined || limit < least)) least = limit
  }
  return least === undefined || least === Number.POSITIVE_INFINITY ? undefined : least
}

export function readCpu(reading: Reading): void {
  const { layout, path, record } = reading
  const { root, version } = folderOf(reading, 'cpu')
  const stat = parseFlat(reading.read(`${root}${path}/cpu.stat`) ?? '')
  const report = (metric: Name, key: string, scale: number) => {
    const value = stat.get(key)
    if (value !== undefined) record(metric, value / scale)
  }
  report('container.resources.cpu.periods', 'nr_periods', 1)
  report('container.resources.cpu.throttled_periods', 'nr_throttled', 1)
  const limit = smallest(reading, root, (folder) => {
    if (version === 2) return parsed(reading, `${folder}/cpu.max`, parseCpuMax)
    const quota = reading.read(`${folder}/cpu.cfs_quota_us`)
    if (quota === undefined) return undefined
    if (quota.trim() === '-1') return Number.POSITIVE_INFINITY
    return parseCpuMax(`${quota.trim()} ${reading.read(`${folder}/cpu.cfs_period_us`) ?? ''}`)
  })
  if (limit !== undefined) record('container.resources.cpu.limit_cores', limit)

  if (version === 2) {
    report('container.resources.cpu.throttled', 'throttled_usec', USEC)
    report('container.resources.cpu.usage', 'usage_usec', USEC)
    return
  }
  report('container.resources.cpu.throttled', 'throttled_time', NSEC)
  const usage = parsed(reading, `${layout.v1.get('cpuacct') ?? root}${path}/cpuacct.usage`, parseNumber)
  if (usage !== undefined) record('container.resources.cpu.usage', usage / NSEC)
}

export function readMemory(reading: Reading): void {
  const { path, record } = reading
  const { root, version } = folderOf(reading, 'memory')
  const folder = `${root}${path}`
  const stat = parseFlat(reading.read(`${folder}/memory.stat`) ?? '')
  const sum = (...keys: string[]) => {
    const values = keys.map((key) => stat.get(key))
    return values.some((value) => value === undefined)
      ? undefined
      : values.reduce<number>((all, value) => all + (value ?? 0), 0)
  }
  const report = (metric: Name, value: number | undefined) => {
    if (value !== undefined && Number.isFinite(value)) record(metric, value)
  }
  if (version === 2) {
    report('container.resources.memory.rss', sum('anon', 'file_mapped'))
    report('container.resources.memory.cache', sum('file'))
    report(
      'container.resources.memory.limit',
      smallest(reading, root, (at) => parsed(reading, `${at}/memory.max`, parseNumber)),
    )
    report('container.oom_kills', parseFlat(reading.read(`${folder}/memory.events`) ?? '').get('oom_kill'))
    return
  }
  report('container.resources.memory.rss', sum('total_rss', 'total_mapped_file'))
  report('container.resources.memory.cache', sum('total_cache'))
  const limit = stat.get('hierarchical_memory_limit')
  if (limit !== undefined && limit < V1_UNLIMITED) record('container.resources.memory.limit', limit)
  report('container.oom_kills', parseFlat(reading.read(`${folder}/memory.oom_control`) ?? '').get('oom_kill'))
}

/** PSI is in the v2 tree only, beside v1 controllers too. */
export function readPressure({ layout, path, read, record }: Reading): void {
  if (layout.mode === 'v1') return
  for (const resource of ['cpu', 'memory', 'io'] as const) {
    const { some, full } = parsePressure(read(`${layout.root}${path}/${resource}.pressure`) ?? '')
    const metric = `container.resources.${resource}.pressure.waiting` as const
    if (some !== undefined) record(metric, some / USEC, SOME)
    if (full !== undefined) record(metric, full / USEC, FULL)
  }
}

export function readDisks(reading: Reading): void {
  const { path, read, record } = reading
  const { root, version } = folderOf(reading, 'blkio')
  const file = (name: string) => read(`${root}${path}/${name}`) ?? ''
  const devices =
    version === 2
      ? parseIoStat(file('io.stat'))
      : parseBlkio(file('blkio.throttle.io_serviced_recursive'), file('blkio.throttle.io_service_bytes_recursive'))
  for (const [majorMinor, io] of devices) {
    const device = Object.freeze({ device: reading.deviceName(majorMinor) })
    record('container.resources.disk.reads', io.reads, device)
    record('container.resources.disk.writes', io.writes, device)
    record('container.resources.disk.read', io.readBytes, device)
    record('container.resources.disk.written', io.writtenBytes, device)
  }
}

export function readPids(reading: Reading): void {
  const { root } = folderOf(reading, 'pids')
  const count = parsed(reading, `${root}${reading.path}/pids.current`, parseNumber)
  if (count !== undefined) reading.record('container.resources.pids', count)
}
