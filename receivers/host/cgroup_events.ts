// Decodes what bpf/cgroup_events.bpf.c reports: control groups as they are made and removed, with id and path.

export type CgroupEvent = {
  readonly kind: 'made' | 'removed'
  /** Inode of its directory. */
  readonly id: number
  /** Inside its tree, `/docker/<id>`; of more than 1023 bytes the kernel tells only the beginning. */
  readonly path: string
  /** Whether the kernel may have cut the path short. */
  readonly cut: boolean
  /** Nanoseconds since boot, suspended time included. */
  readonly atNs: bigint
}

export type CgroupEvents = {
  readonly events: readonly CgroupEvent[]
  /** Records that are not what bpf/cgroup_events.bpf.c writes. */
  readonly damaged: number
}

/** struct cgroup_event. */
const ID_AT = 0
const AT_NS_AT = 8
const KIND_AT = 16
const PATH_LENGTH_AT = 18
const PATH_AT = 24
const LONGEST_PATH = 1023

const KINDS: Readonly<Record<number, CgroupEvent['kind']>> = { 1: 'made', 2: 'removed' }

/** Takes what BpfObject.drain('cgroup_events', …) returns: for each record u32 length, then the record. */
export function decodeCgroupEvents(bytes: Buffer): CgroupEvents {
  const events: CgroupEvent[] = []
  let damaged = 0
  let at = 0
  while (at + 4 <= bytes.length) {
    const end = at + 4 + bytes.readUInt32LE(at)
    const event = end <= bytes.length ? decodeEvent(bytes.subarray(at + 4, end)) : undefined
    if (event === undefined) damaged++
    else events.push(event)
    at = end
  }
  if (at < bytes.length) damaged++
  return { events, damaged }
}

function decodeEvent(record: Buffer): CgroupEvent | undefined {
  if (record.length < PATH_AT) return undefined
  const kind = KINDS[record.readUInt16LE(KIND_AT)]
  const length = record.readUInt16LE(PATH_LENGTH_AT)
  if (kind === undefined || length === 0 || length > LONGEST_PATH || record.length !== PATH_AT + length)
    return undefined
  return {
    kind,
    id: Number(record.readBigUInt64LE(ID_AT)),
    path: record.toString('utf8', PATH_AT),
    cut: length === LONGEST_PATH,
    atNs: record.readBigUInt64LE(AT_NS_AT),
  }
}
