// Who answers a connection, by the host's knowledge of address translation; and which destinations nobody translates,
// so that the kernel need not tell of each connection there.
import { addressText } from '../host/address.ts'
import type { Namespaces } from '../host/namespaces.ts'
import type { Nat, Resolution } from '../host/nat.ts'
import type { Counting } from './bpf.ts'
import { type Answer, UNKNOWN } from './connections.ts'
import type { Connection } from './records.ts'

export type Resolver = {
  /** For each connection its answer. Those that `isAsked` leaves out need none. Classes the destinations. */
  answers(
    connections: readonly Connection[],
    isAsked: (connection: Connection) => boolean,
    counting: Counting,
  ): Answer[]
  /** Who answered one that has ended, if its destination is one that is translated; undefined where nobody knows. */
  answered(connection: Connection): Answer['actual']
  /** Takes in what was heard of new translations, and doubts what was learnt long ago. */
  follow(counting: Counting): void
  /** Calls `follow` when there are new translations. */
  onHeard(follow: () => void): void
  losses(): Readonly<Record<string, number>>
  /** Of its tables. */
  entries(): Readonly<Record<string, number>>
}

/** So long a destination is taken for direct, where new translations are heard of and where they are not. */
const TRUST_MS = { all: 60_000, host: 10_000, none: 10_000 }
/**
 * So long after its last translated connection a destination may not be taken for direct: rules may be for some
 * connections only, by owner, by source or by chance, and the first that is translated again would be missed.
 */
const DOUBT_MS = 3_600_000
/** The kernel's map has as many. */
const MOST = 8192
const DESTINATION_SIZE = 24

type Direct = { readonly destination: Buffer; readonly text: string; readonly sinceMs: number }

export function createResolver(nat: Nat, namespaces: Pick<Namespaces, 'has' | 'seen'>): Resolver {
  /** By struct destination, the oldest first. */
  const direct = new Map<string, Direct>()
  /** `address:port` → those of all namespaces. */
  const byText = new Map<string, Set<string>>()
  /** `address:port` → when it was last translated. */
  const translatedMs = new Map<string, number>()
  const losses = { unresolved: 0, untracked: 0, namespace_gone: 0 }

  function forget(key: string, counting: Counting): void {
    const known = direct.get(key)
    if (known === undefined) return
    direct.delete(key)
    counting.setDirect(known.destination, false)
    const same = byText.get(known.text)
    same?.delete(key)
    if (same?.size === 0) byText.delete(known.text)
  }

  function learn(connection: Connection, text: string, counting: Counting): void {
    const nowMs = performance.now()
    const lastMs = translatedMs.get(text)
    if (lastMs !== undefined && nowMs - lastMs < DOUBT_MS) return
    if (nat.mayTranslateUnheard(connection.netns)) return
    const destination = destinationOf(connection)
    const key = destination.toString('latin1')
    if (direct.has(key)) return
    if (direct.size >= MOST) for (const oldest of direct.keys()) return void forget(oldest, counting)
    direct.set(key, { destination, text, sinceMs: nowMs })
    const same = byText.get(text)
    if (same === undefined) byText.set(text, new Set([key]))
    else same.add(key)
    counting.setDirect(destination, true)
  }

  function doubt(text: string, counting: Counting): void {
    translatedMs.delete(text)
    translatedMs.set(text, performance.now())
    if (translatedMs.size > MOST) for (const oldest of translatedMs.keys()) return void translatedMs.delete(oldest)
    for (const key of [...(byText.get(text) ?? [])]) forget(key, counting)
  }

  function answer(connection: Connection, resolution: Resolution | undefined, counting: Counting): Answer {
    const address = addressText(connection.remote)
    const port = connection.remotePort
    const text = `${address} ${port}`
    const state = resolution?.state ?? 'unknown'
    if (resolution?.state === 'translated') {
      doubt(text, counting)
      return { actual: { address: addressText(resolution.address), port: resolution.port } }
    }
    if (state !== 'direct' && translatedMs.has(text)) {
      // It may have been translated, and the entry is gone: no answer is better than a wrong one.
      losses.unresolved++
      return UNKNOWN
    }
    // Its namespace is gone. There are no translations left in there, and the host's would have been found.
    if (state === 'unknown') losses.namespace_gone++
    if (state === 'untracked') losses.untracked++
    learn(connection, text, counting)
    return { actual: { address, port } }
  }

  return {
    answers(connections, isAsked, counting) {
      const asked = connections.filter(isAsked)
      for (const { netns, pid } of asked) if (!namespaces.has(netns)) namespaces.seen(netns, pid)
      const resolutions = nat.resolve(asked.map(question))
      const found = new Map(asked.map((connection, i) => [connection, answer(connection, resolutions[i], counting)]))
      return connections.map((connection) => found.get(connection) ?? UNKNOWN)
    },
    answered(connection) {
      if (!translatedMs.has(`${addressText(connection.remote)} ${connection.remotePort}`)) return undefined
      const [resolution] = nat.resolve([question(connection)])
      if (resolution?.state !== 'translated') return undefined
      return { address: addressText(resolution.address), port: resolution.port }
    },
    follow(counting) {
      const { translations, lost } = nat.heard()
      if (lost) for (const key of [...direct.keys()]) forget(key, counting)
      for (const { original } of translations) {
        doubt(`${addressText(original.destination)} ${original.destinationPort}`, counting)
      }
      const nowMs = performance.now()
      for (const [key, { sinceMs }] of direct) {
        if (nowMs - sinceMs < TRUST_MS[nat.hears]) break
        forget(key, counting)
      }
    },
    onHeard: (follow) => nat.onHeard(follow),
    entries: () => ({ direct_destinations: direct.size, heard_translations: nat.counts().remembered }),
    losses: () => ({ ...losses, translations_not_heard: nat.counts().lostEvents }),
  }
}

const question = (connection: Connection) => ({
  netns: connection.netns,
  source: connection.local,
  sourcePort: connection.localPort,
  destination: connection.remote,
  destinationPort: connection.remotePort,
  ...(connection.dialledNs > 0 && { dialledNs: connection.dialledNs }),
})

/** struct destination of bpf/tcp_connections.bpf.c. */
function destinationOf({ remote, netns, remotePort }: Connection): Buffer {
  const bytes = Buffer.alloc(DESTINATION_SIZE)
  bytes.set(remote, 0)
  bytes.writeUInt32LE(netns, 16)
  bytes.writeUInt16LE(remotePort, 20)
  return bytes
}
