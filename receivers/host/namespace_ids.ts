// The kernel names other network namespaces by small numbers that each namespace gives for itself (ip-netns(8), nsid):
// what it tells of several over one socket carries them. Here they become inodes. The kernel gives the number of a
// namespace at the other end of a link when somebody lists the links, `ip link` for one; so we list them too.
import { closeSync } from 'node:fs'
import { openNetlink } from '../../native/index.ts'
import type { Namespaces } from './namespaces.ts'
import { attribute, datagrams, findAttribute, messages, NLM_F_DUMP, request, valueEnd } from './netlink.ts'

export type NamespaceIds = {
  /** Takes in which numbers were given and taken back. To be called before the others, once for all that is at hand. */
  refresh(): void
  /** Inode of the namespace that has this id in the host's; undefined when it is none that we know of. */
  netns(id: number): number | undefined
  /** Whether the host's namespace has a number for it, so that sockets there can hear of it. */
  isNamed(netns: number): boolean
  close(): void
}

const NETLINK_ROUTE = 0
const RTNLGRP_NSID = 28
const RTM_GETLINK = 18
const IFINFOMSG = 16
const RTM_NEWNSID = 88
const RTM_DELNSID = 89
const RTM_GETNSID = 90
const NETNSA_NSID = 1
const NETNSA_FD = 3
const NO_ID = -1
/** A number may be given to a namespace later: its first veth brings it. */
const ASK_AGAIN_MS = 1000
const LIST_AGAIN_MS = 30_000

export function openNamespaceIds(namespaces: Namespaces): NamespaceIds {
  function open(groups: readonly number[]) {
    try {
      return namespaces.within(namespaces.initial, (namespace) =>
        openNetlink({ protocol: NETLINK_ROUTE, groups, ...(namespace !== undefined && { namespace }) }),
      )
    } catch {
      return undefined // may not be entered: then nobody has a number for us
    }
  }
  const asking = open([])
  const listening = open([RTNLGRP_NSID])
  const byId = new Map<number, number>()
  const ids = new Map<number, number>()
  let askedMs = Number.NEGATIVE_INFINITY
  let listedMs = Number.NEGATIVE_INFINITY

  function forget(netns: number): void {
    const id = ids.get(netns)
    ids.delete(netns)
    if (id !== undefined && byId.get(id) === netns) byId.delete(id)
  }
  const stopForgetting = namespaces.onEnd(forget)

  /** Numbers are given again when a namespace has ended. */
  function refresh(): void {
    const { datagrams: heard, overflows } = listening?.drain() ?? { datagrams: Buffer.alloc(0), overflows: 0 }
    let changed = overflows > 0
    for (const { at, end } of datagrams(heard))
      for (const { type } of messages(heard, at, end)) changed ||= type === RTM_NEWNSID || type === RTM_DELNSID
    if (!changed) return
    byId.clear()
    ids.clear()
    askedMs = Number.NEGATIVE_INFINITY
  }

  function ask(netns: number): number {
    const fd = namespaces.open(netns)
    if (fd === undefined || asking === undefined) return NO_ID
    try {
      const value = Buffer.alloc(4)
      value.writeInt32LE(fd)
      const answer = asking.ask(request(RTM_GETNSID, 0, Buffer.alloc(4), attribute(NETNSA_FD, value)))
      return decodeNamespaceId(answer) ?? NO_ID
    } finally {
      closeSync(fd)
    }
  }

  function askAll(): void {
    const nowMs = performance.now()
    if (nowMs - askedMs < ASK_AGAIN_MS) return
    askedMs = nowMs
    const unnamed = [...namespaces.living()].filter(
      ({ netns }) => netns !== namespaces.initial && (ids.get(netns) ?? NO_ID) === NO_ID,
    )
    // One without links to here never gets a number; that is no reason to list all links again and again.
    if (unnamed.some(({ netns }) => !ids.has(netns)) || nowMs - listedMs > LIST_AGAIN_MS) {
      listedMs = nowMs
      asking?.ask(request(RTM_GETLINK, NLM_F_DUMP, Buffer.alloc(IFINFOMSG)))
    }
    for (const { netns } of unnamed) {
      const id = ask(netns)
      ids.set(netns, id)
      if (id !== NO_ID) byId.set(id, netns)
    }
  }

  return {
    refresh,
    netns(id) {
      if (id === NO_ID) return namespaces.initial
      if (!byId.has(id)) askAll()
      return byId.get(id)
    },
    isNamed(netns) {
      if (netns === namespaces.initial) return true
      if ((ids.get(netns) ?? NO_ID) === NO_ID) askAll()
      return (ids.get(netns) ?? NO_ID) !== NO_ID
    },
    close() {
      stopForgetting()
      asking?.close()
      listening?.close()
    },
  }
}

/** Out of the answer to RTM_GETNSID; -1 for a namespace that has no number, undefined for what is no such answer. */
export function decodeNamespaceId(bytes: Buffer): number | undefined {
  for (const { type, at, end } of messages(bytes)) {
    if (type !== RTM_NEWNSID) continue
    const value = findAttribute(bytes, at + 4, end, NETNSA_NSID)
    if (value >= 0 && valueEnd(bytes, value) - value === 4) return bytes.readInt32LE(value)
  }
  return undefined
}
