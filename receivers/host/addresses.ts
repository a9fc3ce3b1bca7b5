// IP addresses of network namespaces by rtnetlink(7), read when they are asked for and again when the kernel tells of a
// change. One socket in the host's namespace hears of the others, so that none of them is held.
import { openNetlink } from '../../native/index.ts'
import { openNamespaceIds } from './namespace_ids.ts'
import type { Namespaces } from './namespaces.ts'
import { attributes, datagrams, messages, NLM_F_DUMP, request } from './netlink.ts'

export type LocalAddress = {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
  readonly prefixLength: number
  /** `host` is loopback, `link` is valid on its link only. */
  readonly scope: 'global' | 'link' | 'host'
  /** Index of its device. */
  readonly device: number
  /** False while (or after) duplicate address detection has not allowed it; nobody can use it then. */
  readonly usable: boolean
}

export type Addresses = {
  /**
   * All addresses of a namespace; the same array while nothing has changed. Undefined when the namespace is gone or
   * may not be entered.
   */
  of(netns: number): readonly LocalAddress[] | undefined
  close(): void
}

const NETLINK_ROUTE = 0
const RTNLGRP_IPV4_IFADDR = 5
const RTNLGRP_IPV6_IFADDR = 9
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_GETADDR = 22
/** struct ifaddrmsg */
const IFADDRMSG = 8
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_FLAGS = 8
const IFA_F_DADFAILED = 0x08
const IFA_F_TENTATIVE = 0x40
const IFA_F_OPTIMISTIC = 0x04
const RT_SCOPE_HOST = 254
const RT_SCOPE_LINK = 253

/** Where changes are heard they are read again all the same, should one have been lost. */
const HEARD_MAX_AGE_MS = 60_000
/** Without CAP_NET_BROADCAST, or of a namespace that no link joins to the host's, nothing is heard. */
const UNHEARD_MAX_AGE_MS = 5_000

type Known = { readonly addresses: readonly LocalAddress[]; readonly atMs: number; readonly bytes: Buffer }

export const addressesRequest = (): Buffer => request(RTM_GETADDR, NLM_F_DUMP, Buffer.alloc(IFADDRMSG))

/** Works without privileges for our own namespace, and needs CAP_SYS_ADMIN for others. */
export function watchAddresses(namespaces: Namespaces): Addresses {
  const ids = openNamespaceIds(namespaces)
  const listening = listen(namespaces)
  const known = new Map<number, Known>()
  const stopForgetting = namespaces.onEnd((netns) => known.delete(netns))

  function hear(): void {
    if (listening === undefined) return
    ids.refresh()
    const { datagrams: heard, overflows } = listening.netlink.drain()
    if (overflows > 0) known.clear()
    for (const { namespaceId, at, end } of datagrams(heard)) {
      for (const { type } of messages(heard, at, end)) {
        if (type !== RTM_NEWADDR && type !== RTM_DELADDR) continue
        const netns = ids.netns(namespaceId)
        if (netns === undefined) known.clear()
        else known.delete(netns)
      }
    }
  }

  function isHeard(netns: number): boolean {
    if (listening === undefined) return false
    return netns === namespaces.initial || (listening.all && ids.isNamed(netns))
  }

  function read(netns: number): Buffer | undefined {
    try {
      return namespaces.within(netns, (namespace) => {
        const netlink = openNetlink({ protocol: NETLINK_ROUTE, ...(namespace !== undefined && { namespace }) })
        try {
          return netlink.ask(addressesRequest())
        } finally {
          netlink.close()
        }
      })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPERM') return undefined
      throw error
    }
  }

  return {
    of(netns) {
      hear()
      const nowMs = performance.now()
      const before = known.get(netns)
      const maxAgeMs = isHeard(netns) ? HEARD_MAX_AGE_MS : UNHEARD_MAX_AGE_MS
      if (before && nowMs - before.atMs < maxAgeMs) return before.addresses
      const bytes = read(netns)
      if (bytes === undefined) return undefined
      const addresses = before?.bytes.equals(bytes) ? before.addresses : [...decodeAddresses(bytes)]
      known.set(netns, { addresses, atMs: nowMs, bytes })
      return addresses
    },
    close() {
      stopForgetting()
      listening?.netlink.close()
      ids.close()
    },
  }
}

function listen(namespaces: Namespaces) {
  const groups = [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]
  for (const all of [true, false]) {
    try {
      const netlink = namespaces.within(namespaces.initial, (namespace) =>
        openNetlink({
          protocol: NETLINK_ROUTE,
          groups,
          allNamespaces: all,
          ...(namespace !== undefined && { namespace }),
        }),
      )
      return netlink && { netlink, all }
    } catch {
      // Not allowed: hear of our own namespace, or of none, and look more often.
    }
  }
  return undefined
}

/** The addresses of an answer to RTM_GETADDR. What is no whole address is left out. */
export function* decodeAddresses(bytes: Buffer): Generator<LocalAddress> {
  for (const { type, at, end } of messages(bytes)) {
    const address = type === RTM_NEWADDR ? decodeAddress(bytes, at, end) : undefined
    if (address) yield address
  }
}

function decodeAddress(bytes: Buffer, at: number, end: number): LocalAddress | undefined {
  if (at + IFADDRMSG > end) return undefined
  const length = { 2: 4, 10: 16 }[bytes.readUInt8(at)]
  let flags = bytes.readUInt8(at + 2)
  let local: Buffer | undefined
  let address: Buffer | undefined
  for (const found of attributes(bytes, at + IFADDRMSG, end)) {
    const value = bytes.subarray(found.at, found.end)
    if (found.type === IFA_FLAGS && value.length === 4) flags = value.readUInt32LE()
    if (value.length !== length) continue
    if (found.type === IFA_LOCAL) local = value
    if (found.type === IFA_ADDRESS) address = value
  }
  // On a point-to-point link IFA_ADDRESS is the other end's.
  const own = local ?? address
  if (own === undefined) return undefined
  const waits = (flags & IFA_F_TENTATIVE) !== 0 && (flags & IFA_F_OPTIMISTIC) === 0
  return {
    address: own,
    prefixLength: bytes.readUInt8(at + 1),
    scope: scopeOf(bytes.readUInt8(at + 3)),
    device: bytes.readUInt32LE(at + 4),
    usable: !waits && (flags & IFA_F_DADFAILED) === 0,
  }
}

function scopeOf(scope: number): LocalAddress['scope'] {
  if (scope === RT_SCOPE_HOST) return 'host'
  return scope === RT_SCOPE_LINK ? 'link' : 'global'
}
