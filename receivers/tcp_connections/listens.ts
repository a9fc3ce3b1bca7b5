// Who can be reached where: listening sockets, as a pass found them in the hands of processes. A socket is of the
// control group of whoever holds it, since it may have been made elsewhere (socket activation, prefork).
import { addressBytes, addressText, isUnspecified, unmapped } from '../host/address.ts'
import type { Addresses } from '../host/addresses.ts'
import type { Cgroup, Host } from '../host/host.ts'
import type { Attributes } from '../receiver.ts'
import { isLoopbackText, withPort } from './filter.ts'

/** What is known of one listening socket. */
export type Listening = {
  readonly socket: string
  readonly netns: number
  /** 4 or 16 bytes; IPv4 may stand as ::ffff:a.b.c.d. */
  readonly local: Uint8Array
  readonly localPort: number
  /** A socket of IPv6 that takes IPv4 as well. */
  readonly bothFamilies: boolean
  /** Connections thrown away since it was made; undefined where that is not known. */
  readonly drops: number | undefined
  /** Whose process holds it. */
  readonly holderCgroup: number
  /** That process; 0 where it is not known. */
  readonly pid: number
}

/** Addresses of a namespace in text, of one family; undefined where they cannot be read. */
export type AddressesOf = (netns: number, family: 4 | 6) => readonly string[] | undefined

export type Listens = {
  /** All that there are now. */
  seen(sockets: Iterable<Listening>): void
  /** An address at a time, each once per control group. */
  addresses(): Iterable<{ readonly cgroup: Cgroup; readonly attributes: Attributes }>
  /** Connections thrown away since we know the socket, by the address that it was bound to. */
  overflows(): Iterable<{ readonly cgroup: Cgroup; readonly attributes: Attributes; readonly drops: number }>
}

/** Where something is listened on. */
type Bound = Pick<Listening, 'local' | 'netns' | 'bothFamilies'>

type Overflow = { readonly cgroup: Cgroup; readonly attributes: Attributes; drops: number }

/** What a socket bound to every address of a family is reachable at; not at what is valid on one link only. */
export function reachable(addresses: Addresses, netns: number, family: 4 | 6): readonly string[] | undefined {
  return addresses
    .of(netns)
    ?.filter(({ address, scope, usable }) => usable && scope !== 'link' && address.length === (family === 4 ? 4 : 16))
    .map(({ address }) => addressText(address))
}

/** Of sockets and of addresses; a machine has a few hundred. */
const MOST = 16_384

/** `history`: what sockets had thrown away before they were first seen counts. */
export function createListens(host: Host, hostNetns: number, addressesOf: AddressesOf, history = true): Listens {
  const drops = new Map<string, number>()
  const overflows = new Map<string, Overflow>()
  const proxies = new Map<string, string | undefined>()
  const attributeSets = new Map<string, Attributes>()
  let now: Listening[] = []
  let isCounted = history

  function attributesOf(address: string, port: number, netns: number, proxy = ''): Attributes {
    const isLocal = isLoopbackText(address) && netns !== hostNetns
    const key = `${address} ${port} ${isLocal ? netns : ''} ${proxy}`
    let attributes = attributeSets.get(key)
    if (attributes === undefined) {
      attributes = Object.freeze({
        listen_addr: withPort(address, port),
        proxy,
        ...(isLocal && { netns: String(netns) }),
      })
      if (attributeSets.size >= MOST) attributeSets.clear()
      attributeSets.set(key, attributes)
    }
    return attributes
  }

  function expanded({ local, netns, bothFamilies }: Bound): readonly string[] {
    const address = unmapped(local)
    if (!isUnspecified(address)) return [addressText(address)]
    const v4 = address.length === 4 || bothFamilies ? addressesOf(netns, 4) : []
    const v6 = address.length === 16 ? addressesOf(netns, 6) : []
    return v4 === undefined || v6 === undefined ? [addressText(address)] : [...v4, ...v6]
  }

  /** Docker keeps a process for each published port, unless told not to; its command line says where it leads. */
  function proxied({ socket, pid }: Listening): string | undefined {
    if (!proxies.has(socket))
      proxies.set(socket, pid === 0 ? undefined : behindProxy(host.read(`/proc/${pid}/cmdline`)))
    return proxies.get(socket)
  }

  function count(socket: Listening): void {
    if (socket.drops === undefined) return
    const before = drops.get(socket.socket)
    drops.set(socket.socket, socket.drops)
    const more = socket.drops - (before ?? (isCounted ? 0 : socket.drops))
    const cgroup = host.cgroup(socket.holderCgroup)
    if (cgroup === undefined || more < 0) return
    const address = addressText(unmapped(socket.local))
    const { proxy: _, ...attributes } = attributesOf(address, socket.localPort, socket.netns)
    const key = `${cgroup.id} ${attributes.netns ?? ''} ${attributes.listen_addr}`
    const overflow = overflows.get(key)
    if (overflow !== undefined) overflow.drops += more
    else if (overflows.size < MOST) {
      overflows.set(key, { cgroup, attributes: Object.freeze(attributes), drops: more })
    }
  }

  return {
    seen(sockets) {
      now = [...sockets]
      const counted = new Set<string>()
      for (const socket of now) {
        // Several processes may hold one socket: each is reachable there, but what it threw away counts once.
        if (counted.has(socket.socket)) continue
        counted.add(socket.socket)
        count(socket)
      }
      isCounted = true
      for (const socket of drops.keys()) if (!counted.has(socket)) drops.delete(socket)
      for (const socket of proxies.keys()) if (!counted.has(socket)) proxies.delete(socket)
      for (const [key, { cgroup }] of overflows) if (host.cgroup(cgroup.id) === undefined) overflows.delete(key)
    },
    *addresses() {
      const told = new Map<Cgroup, Set<Attributes>>()
      const whose = new Map<string, Cgroup>()
      function* tell(cgroup: Cgroup, attributes: Attributes) {
        const its = told.get(cgroup) ?? new Set()
        told.set(cgroup, its)
        if (!its.has(attributes)) yield { cgroup, attributes }
        its.add(attributes)
      }
      for (const socket of now) {
        const cgroup = host.cgroup(socket.holderCgroup)
        if (cgroup === undefined) continue
        for (const address of expanded(socket)) {
          if (socket.netns !== hostNetns) whose.set(withPort(address, socket.localPort), cgroup)
          yield* tell(cgroup, attributesOf(address, socket.localPort, socket.netns))
        }
      }
      for (const socket of now) {
        const behind = socket.netns === hostNetns ? proxied(socket) : undefined
        const cgroup = behind === undefined ? undefined : whose.get(behind)
        if (cgroup === undefined) continue
        for (const address of expanded(socket)) {
          yield* tell(cgroup, attributesOf(address, socket.localPort, socket.netns, 'dockerd'))
        }
      }
      for (const { cgroup, address, port } of host.published?.() ?? []) {
        const local = addressBytes(address)
        if (local === undefined) continue
        for (const at of expanded({ local, netns: hostNetns, bothFamilies: false })) {
          yield* tell(cgroup, attributesOf(at, port, hostNetns, 'dockerd'))
        }
      }
    },
    overflows: () => overflows.values(),
  }
}

/** Where a docker-proxy leads, `172.17.0.2:80`; undefined for the command line of something else. */
export function behindProxy(cmdline: string | undefined): string | undefined {
  const [command = '', ...words] = (cmdline ?? '').split('\0')
  if (!command.endsWith('docker-proxy')) return undefined
  const after = (flag: string) => words[words.indexOf(flag) + 1]
  const [address, port] = [after('-container-ip'), Number(after('-container-port'))]
  return address === undefined || !(port > 0) || after('-proto') !== 'tcp' ? undefined : withPort(address, port)
}
