// Parsers of the files that cgroup file systems show (Documentation/admin-guide/cgroup-v1, cgroup-v2.rst).
// Each gives undefined, or leaves out what it cannot read: the kernel adds keys, and files can be empty.

/** A non-negative whole number alone in a file; `max`, which says that there is no limit, is Infinity. */
export function parseNumber(text: string): number | undefined {
  const word = text.trim()
  if (word === 'max') return Number.POSITIVE_INFINITY
  return /^\d{1,20}$/.test(word) ? Number(word) : undefined
}

/** `key value` lines (flat keyed): cpu.stat, memory.stat, memory.events. */
export function parseFlat(text: string): Map<string, number> {
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    const at = line.indexOf(' ')
    if (at <= 0) continue
    const value = parseNumber(line.slice(at + 1))
    if (value !== undefined) values.set(line.slice(0, at), value)
  }
  return values
}

/** Quota over period of cpu.max (`50000 100000`, `max 100000`) in cores; Infinity without a limit. */
export function parseCpuMax(text: string): number | undefined {
  const [quota = '', period = ''] = text.trim().split(/\s+/)
  const [quotaUs, periodUs] = [parseNumber(quota), parseNumber(period)]
  if (quotaUs === undefined || periodUs === undefined || periodUs === 0) return undefined
  return quotaUs / periodUs
}

export type Pressure = { readonly some: number | undefined; readonly full: number | undefined }

/** `total=` of the lines `some` and `full` in microseconds (Documentation/accounting/psi.rst). */
export function parsePressure(text: string): Pressure {
  const total = (kind: string) => {
    const match = new RegExp(`^${kind} .*\\btotal=(\\d{1,20})`, 'm').exec(text)
    return match ? Number(match[1]) : undefined
  }
  return { some: total('some'), full: total('full') }
}

export type DeviceIo = { reads: number; writes: number; readBytes: number; writtenBytes: number }

const noIo = (): DeviceIo => ({ reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 })

/** io.stat of v2, by `major:minor`. */
export function parseIoStat(text: string): Map<string, DeviceIo> {
  const devices = new Map<string, DeviceIo>()
  for (const line of text.split('\n')) {
    const [device = '', ...pairs] = line.trim().split(/\s+/)
    if (!/^\d+:\d+$/.test(device)) continue
    const values = new Map(
      pairs.map((pair) => pair.split('=')).map(([key = '', value = '']) => [key, parseNumber(value)]),
    )
    const [reads, writes, readBytes, writtenBytes] = ['rios', 'wios', 'rbytes', 'wbytes'].map((key) => values.get(key))
    if (reads === undefined || writes === undefined || readBytes === undefined || writtenBytes === undefined) continue
    devices.set(device, { reads, writes, readBytes, writtenBytes })
  }
  return devices
}

/** blkio.throttle.io_serviced and …io_service_bytes of v1 together, by `major:minor`. */
export function parseBlkio(serviced: string, bytes: string): Map<string, DeviceIo> {
  const devices = new Map<string, DeviceIo>()
  const read = (text: string, set: (io: DeviceIo, operation: string, value: number) => void) => {
    for (const line of text.split('\n')) {
      const match = /^(\d+:\d+) (Read|Write) (\d{1,20})$/.exec(line.trim())
      if (!match) continue
      const [, device = '', operation = '', value = ''] = match
      const io = devices.get(device) ?? noIo()
      devices.set(device, io)
      set(io, operation, Number(value))
    }
  }
  read(serviced, (io, operation, value) => {
    io[operation === 'Read' ? 'reads' : 'writes'] = value
  })
  read(bytes, (io, operation, value) => {
    io[operation === 'Read' ? 'readBytes' : 'writtenBytes'] = value
  })
  return devices
}

/** `major:minor` → name, out of /proc/diskstats. */
export function parseDiskNames(text: string): Map<string, string> {
  const names = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [major, minor, name] = line.trim().split(/\s+/)
    if (name !== undefined) names.set(`${major}:${minor}`, name)
  }
  return names
}
