// Who talks to whom, as far as anybody has seen: the meeting place of those who see connections (eBPF, sock_diag) and
// those who want to know more about the other end (how far is it?). It knows nothing about either.

export type Peer = {
  /** Id of the control group whose process talks. */
  readonly cgroup: number
  /** Inode of the network namespace that it talks from, as /proc/PID/ns/net has it. */
  readonly netns: number
  /** The real other end, after NAT: IPv4 in dots, IPv6 as RFC 5952 writes it; never with a port or a zone. */
  readonly address: string
  /** When it was last seen, in milliseconds of the monotonic clock (performance.now). */
  readonly lastMs: number
  /** TCP's own smoothed round-trip time in seconds, where whoever saw the connection knew it. */
  readonly tcpSeconds: number | undefined
}

export type Peers = {
  /**
   * Somebody talks to `address`, or tries to. To be called again while the connection lives, at least every minute:
   * what is not is forgotten after five. `tcpSeconds` replaces what was known, unless it is left out.
   */
  note(cgroup: number, netns: number, address: string, tcpSeconds?: number): void
  /** Somebody will note everybody's connections, until the result is called. Nobody else need look for them then. */
  provide(): () => void
  readonly isProvided: boolean
  /** Those seen within the last five minutes. */
  living(): Iterable<Peer>
  /** How often somebody was noted who was not known: when it has grown, there are new ones. */
  readonly added: number
  /** Notes for which there was no room. */
  readonly refused: number
}

const REMEMBER_MS = 300_000
/** About 200 bytes each. */
const MOST = 65_536

type Mutable = { -readonly [Key in keyof Peer]: Peer[Key] }

export function createPeers(now: () => number = () => performance.now(), most: number = MOST): Peers {
  const known = new Map<string, Mutable>()
  let added = 0
  let refused = 0
  let providers = 0
  let sweptMs = now()

  function forget(nowMs: number): void {
    sweptMs = nowMs
    for (const [key, { lastMs }] of known) if (nowMs - lastMs > REMEMBER_MS) known.delete(key)
  }

  return {
    note(cgroup, netns, address, tcpSeconds) {
      const key = `${netns} ${address} ${cgroup}`
      const lastMs = now()
      const peer = known.get(key)
      if (peer !== undefined) {
        peer.lastMs = lastMs
        if (tcpSeconds !== undefined) peer.tcpSeconds = tcpSeconds
        return
      }
      // When it is full, looking for room at every note would cost more than it brings.
      if (known.size >= most && lastMs - sweptMs >= 1000) forget(lastMs)
      if (known.size >= most) refused++
      else {
        known.set(key, { cgroup, netns, address, lastMs, tcpSeconds })
        added++
      }
    },
    provide() {
      let isProviding = true
      providers++
      return () => {
        if (isProviding) providers--
        isProviding = false
      }
    },
    get isProvided() {
      return providers > 0
    },
    living() {
      forget(now())
      return known.values()
    },
    get added() {
      return added
    },
    get refused() {
      return refused
    },
  }
}
