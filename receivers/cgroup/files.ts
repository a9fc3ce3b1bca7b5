// Reads the formats that cgroup files have. Distrustful: what is not exactly what the kernel writes gives no number,
// and a line that lacks its end (a number that may have been cut) gives none either.
// Formats: Documentation/admin-guide/cgroup-v2.rst ("Interface Files"), Documentation/admin-guide/cgroup-v1/.

/** Above this no counter of the kernel's gets: it is one that was decremented below zero. */
const UNDERFLOWN = 2 ** 63

function count(digits: string): number | undefined {
  if (!/^\d{1,20}$/.test(digits)) return undefined
  const value = Number(digits)
  return value < UNDERFLOWN ? value : undefined
}

/** What was understood, and the first line that was not. */
export type Parsed<Values> = { readonly values: Values; readonly junk: string | undefined }

/** Whole lines, and what stands after the last of them. */
function linesOf(text: string): { readonly lines: readonly string[]; readonly cut: string | undefined } {
  const lines = text.split('\n')
  const cut = lines.pop()
  return { lines, cut: cut === '' ? undefined : cut }
}

/** `anon 1234\nfile 5678\n`: memory.stat, memory.events, memory.oom_control, cpu.stat. */
export function parseFlatKeyed(text: string): Parsed<ReadonlyMap<string, number>> {
  const { lines, cut } = linesOf(text)
  const values = new Map<string, number>()
  let junk = cut
  for (const line of lines) {
    const space = line.indexOf(' ')
    const value = space > 0 ? count(line.slice(space + 1)) : undefined
    if (value !== undefined) values.set(line.slice(0, space), value)
    else if (line !== '') junk ??= line
  }
  return { values, junk }
}

/** One number on one line. Infinity for `max`, and for the `-1` of v1: no limit. Undefined when it is neither. */
export function parseSingle(text: string): number | undefined {
  if (text === 'max\n' || text === '-1\n') return Number.POSITIVE_INFINITY
  return text.endsWith('\n') ? count(text.slice(0, -1)) : undefined
}

/** cpu.max, `50000 100000\n` or `max 100000\n`: cores, Infinity without a limit, undefined when it is neither. */
export function parseCpuMax(text: string): number | undefined {
  const [, quota = '', period = ''] = /^(max|\d{1,20}) (\d{1,20})\n$/.exec(text) ?? []
  return coresOf(parseSingle(`${quota}\n`), count(period))
}

/** Cores that a quota and its period, both in microseconds, allow. */
export function coresOf(quotaUs: number | undefined, periodUs: number | undefined): number | undefined {
  if (quotaUs === undefined || periodUs === undefined || !(periodUs > 0)) return undefined
  return quotaUs / periodUs
}

/** Number of CPUs in a list as cpuset and sysfs write it, `0-3,8\n`; 0 for an empty one. cpuset(7), "List format". */
export function parseCpuCount(text: string): number | undefined {
  if (text === '\n') return 0
  if (!/^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*\n$/.test(text)) return undefined
  let cpus = 0
  let next = 0
  for (const range of text.trimEnd().split(',')) {
    const [first = 0, last = first] = range.split('-').map(Number)
    // The kernel writes them in order. One that is not would be counted twice.
    if (first < next || last < first) return undefined
    cpus += last - first + 1
    next = last + 1
  }
  return cpus
}

export type DiskUse = {
  readonly readBytes?: number
  readonly writtenBytes?: number
  readonly reads?: number
  readonly writes?: number
}

const DEVICE = /^\d{1,10}:\d{1,10}$/

const IO_STAT_KEYS: ReadonlyMap<string, keyof DiskUse> = new Map([
  ['rbytes', 'readBytes'],
  ['wbytes', 'writtenBytes'],
  ['rios', 'reads'],
  ['wios', 'writes'],
])

/**
 * io.stat by MAJ:MIN: `8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` and keys of policies (`cost.usage=…`).
 * Devices without numbers may stand before another's on the same line: some kernels leave out their line break.
 * A device whose name the kernel has lost, `(unknown)`, is left out.
 */
export function parseIoStat(text: string): Parsed<ReadonlyMap<string, DiskUse>> {
  const { lines, cut } = linesOf(text)
  const values = new Map<string, DiskUse>()
  let junk = cut
  for (const line of lines) {
    let device: string | undefined
    for (const word of line.split(' ')) {
      if (DEVICE.test(word) || word === '(unknown)') {
        device = word
        continue
      }
      const equals = word.indexOf('=')
      const key = IO_STAT_KEYS.get(word.slice(0, Math.max(equals, 0)))
      const value = key === undefined ? undefined : count(word.slice(equals + 1))
      if (word !== '' && (equals <= 0 || device === undefined || (key !== undefined && value === undefined))) {
        junk ??= line
      } else if (key !== undefined && value !== undefined && device !== undefined && device !== '(unknown)') {
        values.set(device, { ...values.get(device), [key]: value })
      }
    }
  }
  return { values, junk }
}

export type Transfers = { readonly read?: number; readonly write?: number }

/**
 * blkio.throttle.io_serviced or .io_service_bytes by MAJ:MIN: `254:0 Read 8192`, also Write, Sync, Async, Discard and
 * Total, and at last a `Total 8192` over all devices.
 */
export function parseBlkio(text: string): Parsed<ReadonlyMap<string, Transfers>> {
  const { lines, cut } = linesOf(text)
  const values = new Map<string, Transfers>()
  let junk = cut
  for (const line of lines) {
    const [, device, kind, digits = ''] = /^(?:(\S+) )?([A-Z][a-z]+) (\d+)$/.exec(line) ?? []
    const value = count(digits)
    if (value === undefined) {
      if (line !== '') junk ??= line
      continue
    }
    if (device === undefined || !DEVICE.test(device) || (kind !== 'Read' && kind !== 'Write')) continue
    values.set(device, { ...values.get(device), [kind === 'Read' ? 'read' : 'write']: value })
  }
  return { values, junk }
}
