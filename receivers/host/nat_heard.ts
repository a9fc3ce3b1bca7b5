// Translations that conntrack tells of as they are made, and which connection each was of: that saves asking, and is known
// also when the entry is gone before anybody asks.
import type { Netlink } from '../../native/index.ts'
import { onNotice } from '../../native/notices.ts'
import { type ConntrackEntry, conntrackEntries, IPPROTO_TCP, isTranslated, onwards, type Tuple } from './conntrack.ts'
import { openNamespaceIds } from './namespace_ids.ts'
import type { Namespaces } from './namespaces.ts'
import { datagrams } from './netlink.ts'

/** A new connection whose destination was translated. */
export type Translation = {
  /** The namespace that did it; undefined for one that we do not know. */
  readonly netns: number | undefined
  /** As it came there: from a container that is the tuple of its socket, unless its own namespace translated it before. */
  readonly original: Tuple
  readonly actual: { readonly address: Uint8Array; readonly port: number }
}

export type Heard = {
  readonly translations: readonly Translation[]
  /** True when translations were lost since the last call: what was learnt from them may be out of date. */
  readonly lost: boolean
}

/** `ofNs`: when the connection was dialled that has been given it. */
type Actual = { readonly tuple: Tuple; readonly atNs: number; ofNs: number | undefined }

export type Hearing = {
  /** Of all namespaces that have an id in the host's, or of the host's alone. */
  readonly all: boolean
  /** Takes in what there is. */
  hear(): void
  /** What came since the last call. */
  heard(): Heard
  onHeard(take: () => void): void
  /**
   * How this very connection goes on. A tuple is used again, so nothing heard before it was dialled counts, and each
   * translation is of one connection: they come in the same order as connections are asked about.
   */
  remembered(netns: number, tuple: Tuple, dialledNs: number | undefined): Actual | undefined
  /** Whether a namespace's translations are heard of. */
  isHeard(netns: number): boolean
  /** `remembered`: tuples for which something heard is kept. */
  counts(): { readonly lostEvents: number; readonly overflows: number; readonly remembered: number }
  close(): void
}

/** So many new connections are taken in at once. */
const PAUSE_MS = 100
/** Connections of one tuple that are told apart between two calls. Where there were more, none is answered by what was heard. */
const SAME_TUPLE = 64
/** So long what was given to a connection is kept, for whoever asks about it again. */
const KEPT_NS = 1e9
/** So long what nobody has asked about is kept. */
const NEEDED_NS = 5e9
/** Between two calls of heard(). */
const MOST_PENDING = 65_536
const MOST_REMEMBERED = 65_536

/** Nanoseconds of CLOCK_MONOTONIC, as BPF has it too: steps of the wall clock do not matter. */
const monotonicNs = () => Number(process.hrtime.bigint())

type Options = {
  /** Bound to the conntrack group. */
  readonly netlink: Netlink
  /** See Hearing. */
  readonly all: boolean
  readonly namespaces: Namespaces
  /** Called for each namespace that was heard of. */
  onNamespace(netns: number): void
}

export function createHearing({ netlink, all, namespaces, onNamespace }: Options): Hearing {
  const ids = openNamespaceIds(namespaces)
  const recent = new Map<string, Actual[]>()
  const counts = { lostEvents: 0, overflows: 0 }
  let pending: Translation[] = []
  let lost = false
  let stopFollowing = () => {}

  function hear(): void {
    ids.refresh()
    const { datagrams: bytes, overflows, lost: lostEvents } = netlink.drain()
    const atNs = monotonicNs()
    counts.overflows += overflows
    counts.lostEvents += lostEvents
    if (overflows > 0 || lostEvents > 0) {
      lost = true
      recent.clear()
    }
    for (const { namespaceId, at, end } of datagrams(bytes)) {
      for (const entry of conntrackEntries(bytes, at, end)) {
        const netns = ids.netns(namespaceId)
        if (netns !== undefined) onNamespace(netns)
        if (entry.protocol === IPPROTO_TCP && isTranslated(entry)) note(netns, entry, atNs)
      }
    }
    forgetOld(atNs)
  }

  function note(netns: number | undefined, entry: ConntrackEntry, atNs: number): void {
    if (pending.length < MOST_PENDING) {
      const { source: address, sourcePort: port } = entry.reply
      pending.push({ netns, original: entry.original, actual: { address, port } })
    } else lost = true
    if (netns === undefined) return
    const key = tupleKey(netns, entry.original)
    const actuals = recent.get(key)?.filter((actual) => isKept(actual, atNs)) ?? []
    recent.delete(key)
    const actual: Actual = { tuple: copyOf(onwards(entry)), atNs, ofNs: undefined }
    recent.set(key, actuals.length < SAME_TUPLE ? [...actuals, actual] : [])
  }

  const isKept = ({ atNs, ofNs }: Actual, nowNs: number): boolean =>
    ofNs === undefined ? atNs > nowNs - NEEDED_NS : ofNs > nowNs - KEPT_NS

  /** After a stall much is heard at once, and each connection of it is still to be asked about. */
  function forgetOld(nowNs: number): void {
    for (const [key, actuals] of recent) {
      const isNeeded = nowNs - (actuals.at(-1)?.atNs ?? 0) < NEEDED_NS
      if (isNeeded && recent.size <= MOST_REMEMBERED) return
      recent.delete(key)
    }
  }

  return {
    all,
    hear,
    heard() {
      hear()
      const heard = { translations: pending, lost }
      pending = []
      lost = false
      return heard
    },
    onHeard(take) {
      stopFollowing = onNotice(netlink.follow(PAUSE_MS), take)
    },
    remembered(netns, tuple, dialledNs) {
      if (dialledNs === undefined) return undefined
      const actuals = recent.get(tupleKey(netns, tuple))
      return (
        actuals?.find(({ ofNs }) => ofNs === dialledNs) ??
        actuals?.find(({ atNs, ofNs }) => ofNs === undefined && atNs >= dialledNs)
      )
    },
    isHeard: (netns) => all && ids.isNamed(netns),
    counts: () => ({ ...counts, remembered: recent.size }),
    close() {
      stopFollowing()
      netlink.close()
      ids.close()
    },
  }
}

/** The addresses are parts of all that was read at once, which would be kept with them. */
function copyOf(tuple: Tuple): Tuple {
  return { ...tuple, source: tuple.source.slice(), destination: tuple.destination.slice() }
}

/** Names a connection of a namespace. */
export function tupleKey(netns: number, { source, sourcePort, destination, destinationPort }: Tuple): string {
  const text = (address: Uint8Array) =>
    Buffer.from(address.buffer, address.byteOffset, address.length).toString('latin1')
  return `${netns} ${sourcePort} ${destinationPort} ${text(source)}${text(destination)}`
}
