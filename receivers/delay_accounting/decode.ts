// Decodes struct taskstats (include/uapi/linux/taskstats.h) and the kernel's message about a task that exits.
// It grows at the end, except that version 15 (Linux 6.14) put maxima and minima beside each sum and 16 moved them to the
// end, so it is read by version and length. Captured on Linux 6.18 (16); 13 is the header of Linux 6.1.
import { DELAYS } from './source.ts'

/** Byte offsets of struct taskstats. -1: this version has no such field. */
type Layout = {
  /** Sums in nanoseconds, in the order of `delayNames`. */
  readonly delays: readonly number[]
  readonly ppid: number
  readonly tgid: number
  readonly wpcopyCount: number
  /** How often a task waited for block I/O, swap-in, reclaim or an evicted page. */
  readonly counts: readonly number[]
}

const EXITCODE_AT = 4
const FLAG_AT = 8
const CPU_COUNT_AT = 16

/** [field of the sums, first version that has it, offset, offset in version 15]. */
const FIELDS = [
  [1, 24, 24], // cpu_delay_total
  [1, 40, 56], // blkio_delay_total
  [1, 56, 88], // swapin_delay_total
  [7, 320, 368], // freepages_delay_total
  [9, 336, 400], // thrashing_delay_total
  [11, 360, 440], // compact_delay_total
  [13, 408, 504], // wpcopy_delay_total
  [14, 424, 536], // irq_delay_total
] as const

function layoutOf(version: number): Layout {
  const shifted = version === 15
  const since = (first: number, at: number) => (version >= first ? at : -1)
  return {
    delays: FIELDS.map(([first, at, at15]) => since(first, shifted ? at15 : at)),
    ppid: shifted ? 180 : 132,
    tgid: since(12, shifted ? 464 : 368),
    wpcopyCount: since(13, shifted ? 496 : 400),
    counts: shifted ? [48, 80] : [32, 48],
  }
}

const layouts = new Map<number, Layout>()

function layout(version: number): Layout {
  let known = layouts.get(version)
  if (known === undefined) {
    known = layoutOf(version)
    layouts.set(version, known)
  }
  return known
}

/** What the kernel's include/uapi/linux/acct.h calls AFORK and AGROUP. */
const AFORK = 0x01
const AGROUP = 0x20

/** Version 7 (Linux 2.6.28) ends after freepages_delay_total. What is newer than 16 is taken to have only appended. */
const FIRST_VERSION = 7
const SHORTEST = 328
const V15 = 15
const V15_SIZE = 560

export type TaskStats = {
  readonly version: number
  /** In nanoseconds since the task began, in the order of `delayNames`; 0 where this kernel has no such field. */
  readonly ns: Float64Array
  /** How often it waited for a copy of a write-protected page; undefined before version 13. */
  readonly wpcopyCount: number | undefined
  /** Whether the kernel accounts delays at all: then every task that has run has run at least once. */
  readonly accounted: boolean
  /** It waited for a disk at least once, so the kernel does measure it. */
  readonly waited: boolean
  /** 0 in answers about a whole thread group. */
  readonly ppid: number
  /** Undefined before version 12, and in answers about a whole thread group. */
  readonly tgid: number | undefined
  /** Of an exit: it was the last of its thread group. Undefined before version 12. */
  readonly last: boolean | undefined
  /** Of an exit: certainly a leader (it never called exec, or has an exit code). */
  readonly leader: boolean
}

/**
 * Undefined for what is too short or of a version that never was. `version` for the half of an exit message that the
 * kernel sends without one (it is a copy of signal->stats).
 */
export function decodeTaskStats(bytes: Uint8Array, version?: number): TaskStats | undefined {
  if (bytes.length < SHORTEST) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const told = view.getUint16(0, true) || (version ?? 0)
  if (told < FIRST_VERSION || (told === V15 && bytes.length < V15_SIZE)) return undefined
  const at = layout(told)
  const u32 = (offset: number) => (offset < 0 || offset + 4 > bytes.length ? 0 : view.getUint32(offset, true))
  const u64 = (offset: number) =>
    offset < 0 || offset + 8 > bytes.length
      ? 0
      : view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32
  const ns = new Float64Array(DELAYS)
  for (let delay = 0; delay < DELAYS; delay++) ns[delay] = u64(at.delays[delay] ?? -1)
  const flags = bytes[FLAG_AT] ?? 0
  return {
    version: told,
    ns,
    wpcopyCount: at.wpcopyCount < 0 || at.wpcopyCount + 8 > bytes.length ? undefined : u64(at.wpcopyCount),
    accounted: u64(CPU_COUNT_AT) > 0,
    waited: at.counts.some((offset) => u64(offset) > 0),
    ppid: u32(at.ppid),
    tgid: at.tgid < 0 || at.tgid + 4 > bytes.length ? undefined : u32(at.tgid),
    last: told >= 12 ? (flags & AGROUP) !== 0 : undefined,
    leader: (flags & AFORK) !== 0 || u32(EXITCODE_AT) !== 0,
  }
}

/** Whether structs of this version and length hold a delay, in the order of `delayNames`. */
export const countedBy = (version: number, length: number): boolean[] =>
  layout(version).delays.map((offset) => offset >= 0 && offset + 8 <= length)

export type Answer = { readonly tgid: number; readonly stats: Uint8Array }

/** Splits what Taskstats.ask() returns: u32 tgid, u32 length, struct. Stops where it is cut short. */
export function* splitAnswers(bytes: Buffer): Generator<Answer> {
  for (let at = 0; at + 8 <= bytes.length; ) {
    const end = at + 8 + bytes.readUInt32LE(at + 4)
    if (end > bytes.length) return
    yield { tgid: bytes.readUInt32LE(at), stats: bytes.subarray(at + 8, end) }
    at = end
  }
}

export type Exit = {
  readonly pid: number
  readonly task: TaskStats
  /** The whole thread group, when its last task ends and it had more than one. */
  readonly group: { readonly tgid: number; readonly stats: TaskStats } | undefined
}

/** Splits what Taskstats.drain() returns (u32 length, message) into exits. `undefined` for each that is damaged. */
export function* splitExits(bytes: Buffer): Generator<Exit | undefined> {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at)
    if (end > bytes.length) {
      yield undefined
      return
    }
    yield decodeExit(bytes.subarray(at + 4, end))
    at = end
  }
}

// TASKSTATS_TYPE_* of include/uapi/linux/taskstats.h.
const [PID, TGID, STATS, AGGR_PID, AGGR_TGID] = [1, 2, 3, 4, 5]

export function decodeExit(message: Buffer): Exit | undefined {
  const aggregate = attribute(message, AGGR_PID)
  const pid = aggregate && attribute(aggregate, PID)
  const stats = aggregate && attribute(aggregate, STATS)
  const task = stats && decodeTaskStats(stats)
  if (pid === undefined || pid.length < 4 || task === undefined) return undefined

  const groupAggregate = attribute(message, AGGR_TGID)
  if (groupAggregate === undefined) return { pid: pid.readUInt32LE(), task, group: undefined }
  const tgid = attribute(groupAggregate, TGID)
  const groupStats = attribute(groupAggregate, STATS)
  const group = groupStats && decodeTaskStats(groupStats, task.version)
  if (tgid === undefined || tgid.length < 4 || group === undefined) return undefined
  return { pid: pid.readUInt32LE(), task, group: { tgid: tgid.readUInt32LE(), stats: group } }
}

/** The first netlink attribute of a type (u16 length, u16 type, padded to 4 bytes). */
function attribute(bytes: Buffer, type: number | undefined): Buffer | undefined {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > bytes.length) return undefined
    if ((bytes.readUInt16LE(at + 2) & 0x3fff) === type) return bytes.subarray(at + 4, at + length)
    at += (length + 3) & ~3
  }
  return undefined
}
