// Where a connection really goes: what was dialled is followed through the address translation of the socket's own
// network namespace and then of the host's, by conntrack. Tuples are compared, not status bits: IPVS sets none.
import { type Netlink, type NetlinkOptions, openNetlink } from '../../native/index.ts'
import { type Capability, hasCapability } from '../capabilities.ts'
import type { Logger } from '../receiver.ts'
import { isLoopback, unmapped } from './address.ts'
import {
  askConntrack,
  type ConntrackEntry,
  countConntrack,
  isTranslated,
  NETLINK_NETFILTER,
  NFNLGRP_CONNTRACK_NEW,
  onwards,
  type Tuple,
} from './conntrack.ts'
import { translatedTcpFilter } from './conntrack_filter.ts'
import type { Namespaces } from './namespaces.ts'
import { createHearing, type Heard, type Hearing, tupleKey } from './nat_heard.ts'

/** A TCP connection as its socket has it. IPv4 in IPv6 addresses is taken for the IPv4 it is. */
export type Connection = Tuple & {
  /** The network namespace of the socket. */
  readonly netns: number
  /** When it was dialled, nanoseconds of CLOCK_MONOTONIC. With it, what was heard since then saves asking. */
  readonly dialledNs?: number
}

export type Resolution =
  /** Somebody else answers. */
  | { readonly state: 'translated'; readonly address: Uint8Array; readonly port: number }
  /** An entry says that who was dialled answers. */
  | { readonly state: 'direct' }
  /** No entry: not tracked anywhere, or over for so long that it was forgotten (10 s after a reset, else 120 s). */
  | { readonly state: 'untracked' }
  /** We were not allowed to ask, or the namespace is gone. */
  | { readonly state: 'unknown' }

export type Nat = {
  /** Follows each connection, in the order they were dialled. Asking costs about 5 µs each; the more at once, the cheaper. */
  resolve(connections: readonly Connection[]): Resolution[]
  /** New connections that were translated since the last call. Call it when `onHeard` says so, and now and then. */
  heard(): Heard
  /** Calls `take` when there are new ones: at once after a quiet time, at most ten times a second. Until `stop`; one caller. */
  onHeard(take: () => void): void
  /** Whether new connections are heard of: of the host's namespace, and of those that have an id there. */
  readonly hears: 'all' | 'host' | 'none'
  /** Whether a namespace of a container may translate, by rules of its own, what is not heard of. */
  mayTranslateUnheard(netns: number): boolean
  /** Since the start, but for what is remembered of translations. For own telemetry. */
  counts(): Readonly<Record<'asked' | 'saved' | 'lostEvents' | 'overflows' | 'remembered', number>>
  stop(): void
}

/** A storm of 18 000 connections a second was heard in full with this (kernel's default: 208 KiB). */
const BUFFER_BYTES = 8 * 1024 * 1024
/** So long a namespace that tracks nothing is not asked again. One that would be heard of is asked again when it is. */
const UNTRACKED_MS = 2_000
const UNTRACKED_AND_HEARD_MS = 30_000

type Options = {
  /** False for somebody who only asks now and then: nothing is heard then. True by default. */
  readonly listen?: boolean
}

/** Never throws: what is not permitted is told once in the log with its remedy, and resolves to `unknown`. */
export function openNat(namespaces: Namespaces, log: Logger, { listen: wanted = true }: Options = {}): Nat {
  const told = new Set<string>()
  const inHost = open('follow connections through address translation', {})
  const untrackedUntilMs = new Map<number, number>()
  const counts = { asked: 0, saved: 0 }
  const hearing = wanted ? listen() : undefined
  const stopForgetting = namespaces.onEnd((netns) => untrackedUntilMs.delete(netns))

  function open(doing: string, options: Partial<NetlinkOptions>) {
    try {
      const netlink = namespaces.within(namespaces.initial, (namespace) =>
        openNetlink({ protocol: NETLINK_NETFILTER, ...options, ...(namespace !== undefined && { namespace }) }),
      )
      if (netlink === undefined) tell(doing, "the host's network namespace cannot be opened", 'grant CAP_SYS_PTRACE')
      return netlink
    } catch (error) {
      tell(doing, (error as Error).message, remedy(error))
      return undefined
    }
  }

  /** Each remedy once. */
  function tell(doing: string, reason: string, fix: string): void {
    if (told.has(fix)) return
    told.add(fix)
    log.warn(`cannot ${doing}`, { reason, fix })
  }

  function listen(): Hearing | undefined {
    const options = { groups: [NFNLGRP_CONNTRACK_NEW], bufferBytes: BUFFER_BYTES, filter: translatedTcpFilter() }
    const ofAll = open('hear of new translations in the network namespaces of containers', {
      ...options,
      allNamespaces: true,
    })
    const netlink = ofAll ?? open('hear of new translations', options)
    if (netlink === undefined) return undefined
    const onNamespace = (netns: number) => untrackedUntilMs.delete(netns)
    return createHearing({ netlink, all: ofAll !== undefined, namespaces, onNamespace })
  }

  const isHeard = (netns: number): boolean => hearing?.isHeard(netns) === true

  function askInside(netlink: Netlink, netns: number, tuples: readonly Tuple[]): (ConntrackEntry | undefined)[] {
    const entries = askConntrack(netlink, tuples)
    const tracks = entries.some((entry) => entry !== undefined) || countConntrack(netlink) !== 0
    if (!tracks) {
      untrackedUntilMs.set(netns, performance.now() + (isHeard(netns) ? UNTRACKED_AND_HEARD_MS : UNTRACKED_MS))
    }
    return entries
  }

  /** Entries in one namespace; undefined when it could not be asked. */
  function ask(netns: number, tuples: readonly Tuple[]): (ConntrackEntry | undefined)[] | undefined {
    if (tuples.length === 0) return []
    counts.asked += tuples.length
    try {
      if (netns === namespaces.initial) return inHost && askConntrack(inHost, tuples)
      return namespaces.within(netns, (namespace) => {
        const netlink = openNetlink({ protocol: NETLINK_NETFILTER, ...(namespace !== undefined && { namespace }) })
        try {
          return askInside(netlink, netns, tuples)
        } finally {
          netlink.close()
        }
      })
    } catch (error) {
      const where = netns === namespaces.initial ? '' : ' in the network namespaces of containers'
      tell(`follow connections through address translation${where}`, (error as Error).message, remedy(error))
      return undefined
    }
  }

  type Way = { tuple: Tuple; readonly connection: Connection; state: Resolution['state']; later: number }

  /** What has no two addresses of one family is no tuple to ask about. */
  function start(connection: Connection): Way {
    const tuple = plain(connection)
    const { source, destination } = tuple
    const whole = source.length === destination.length && (source.length === 4 || source.length === 16)
    return { tuple, connection, state: whole ? 'untracked' : 'unknown', later: 0 }
  }

  /** How many of those that follow it have the tuple of each: the same port, dialled from again. */
  function rank(ways: readonly Way[]): void {
    const seen = new Map<string, number>()
    for (const way of ways.toReversed()) {
      const key = tupleKey(way.connection.netns, way.tuple)
      way.later = seen.get(key) ?? 0
      seen.set(key, way.later + 1)
    }
  }

  /** One hop for all of these connections, in the namespace that is given. */
  function follow(ways: readonly Way[], netns: number): void {
    const toAsk = ways.filter((way) => {
      const heard = hearing?.remembered(netns, way.tuple, way.connection.dialledNs)
      // Asked now, conntrack would tell of the younger one.
      if (heard === undefined) return way.later === 0
      counts.saved++
      heard.ofNs = way.connection.dialledNs
      Object.assign(way, { tuple: heard.tuple, state: 'translated' })
      return false
    })
    const entries = ask(
      netns,
      toAsk.map(({ tuple }) => tuple),
    )
    for (const [i, way] of toAsk.entries()) {
      const entry = entries?.[i]
      if (entries === undefined) {
        if (way.state === 'untracked') way.state = 'unknown'
      } else if (entry !== undefined) {
        if (isTranslated(entry)) way.state = 'translated'
        else if (way.state !== 'translated') way.state = 'direct'
        way.tuple = onwards(entry)
      }
    }
  }

  return {
    resolve(connections) {
      if (connections.length === 0) return []
      hearing?.hear()
      const ways = connections.map(start)
      rank(ways)
      const whole = ways.filter(({ state }) => state !== 'unknown')
      for (const [netns, inside] of Map.groupBy(whole, ({ connection }) => connection.netns)) {
        if (netns === namespaces.initial) continue
        // One that the host heard of under the socket's tuple came there as it was dialled; unless it was translated
        // here and the host has heard of another namespace with the same addresses.
        const own = inside.filter(
          ({ tuple, connection: { dialledNs } }) =>
            !isHeard(netns) ||
            hearing?.remembered(netns, tuple, dialledNs) ||
            !hearing?.remembered(namespaces.initial, tuple, dialledNs),
        )
        if (performance.now() >= (untrackedUntilMs.get(netns) ?? 0)) follow(own, netns)
      }
      // What stays on a loopback device never comes to the host's namespace, where its like may mean something else.
      follow(
        whole.filter(
          ({ tuple, connection }) => connection.netns === namespaces.initial || !isLoopback(tuple.destination),
        ),
        namespaces.initial,
      )
      return ways.map(resolution)
    },
    heard: () => hearing?.heard() ?? { translations: [], lost: false },
    onHeard: (take) => hearing?.onHeard(take),
    hears: hearing === undefined ? 'none' : hearing.all ? 'all' : 'host',
    mayTranslateUnheard: (netns) =>
      netns !== namespaces.initial && !isHeard(netns) && performance.now() >= (untrackedUntilMs.get(netns) ?? 0),
    counts: () => ({ ...counts, lostEvents: 0, overflows: 0, remembered: 0, ...hearing?.counts() }),
    stop() {
      stopForgetting()
      inHost?.close()
      hearing?.close()
    },
  }

  function resolution({ state, tuple }: Way): Resolution {
    if (state !== 'translated') return { state }
    return { state, address: tuple.destination, port: tuple.destinationPort }
  }
}

function plain({ source, sourcePort, destination, destinationPort }: Tuple): Tuple {
  return { source: unmapped(source), sourcePort, destination: unmapped(destination), destinationPort }
}

function remedy(error: unknown): string {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (code !== 'EPERM') return 'modprobe nf_conntrack_netlink, or a kernel with CONFIG_NF_CT_NETLINK'
  const wanted: readonly Capability[] = syscall === 'setns' ? ['SYS_ADMIN'] : ['NET_ADMIN', 'NET_BROADCAST']
  const missing = wanted.filter((capability) => !hasCapability(capability)).map((capability) => `CAP_${capability}`)
  // In a user namespace of its own a container may hold them all, and yet not be allowed to.
  if (missing.length === 0) return 'run as root of the host, not in a user namespace'
  return `grant ${missing.join(' and ')}, or run as root`
}
