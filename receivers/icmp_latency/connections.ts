// Who talks to whom, where no other receiver tells: the sockets that each network namespace has now (sock_diag), with
// their real destinations by conntrack. What lives shorter than the time between two looks is not seen.

import { addressText, isLoopback } from '../host/address.ts'
import type { Host } from '../host/host.ts'
import { type Nat, openNat } from '../host/nat.ts'
import { type DiagSocket, dumpSockets, TCP } from '../host/sockets.ts'
import type { Logger } from '../receiver.ts'

export type ConnectionWatch = {
  /** Looks at all namespaces and notes what it finds. Says once what it may not see. */
  look(): Promise<void>
  stop(): void
}

const { ESTABLISHED, SYN_SENT, CLOSE_WAIT, FIN_WAIT1, LISTEN } = TCP
const STATES = [ESTABLISHED, SYN_SENT, CLOSE_WAIT, FIN_WAIT1, LISTEN]

export function watchConnections(host: Host, log: Logger): ConnectionWatch {
  const told = new Set<string>()
  const toldOnce: Logger = {
    debug: (message, fields) => log.debug(message, fields),
    info: (message, fields) => log.info(message, fields),
    error: (message, fields) => log.error(message, fields),
    warn(message, fields) {
      if (!told.has(message)) log.warn(message, fields)
      told.add(message)
    },
  }
  let isStopped = false

  async function socketsIn(netns: number): Promise<DiagSocket[]> {
    const dump = host.namespaces.within(netns, (namespace) => {
      const questions = ([2, 10] as const).map((family) => ({ family, states: STATES, info: true }))
      const pieces = dumpSockets(namespace, questions)
      // Its socket is opened by the first piece, while the namespace is open.
      return { pieces, first: pieces.next() }
    })
    if (dump === undefined) return []
    const sockets = (await dump.first).value ?? []
    for await (const piece of dump.pieces) sockets.push(...piece)
    return sockets
  }

  function note(nat: Nat, netns: number, sockets: readonly DiagSocket[]): void {
    const found = dialled(sockets)
    if (found.length === 0) return
    const resolutions = nat.resolve(found.map((socket) => ({ ...socket, netns })))
    for (const [i, { cgroup, destination, info }] of found.entries()) {
      if (cgroup === undefined) continue
      const resolution = resolutions[i]
      const actual = resolution?.state === 'translated' ? resolution.address : destination
      const seconds = info?.rttUs === undefined ? undefined : info.rttUs / 1e6
      host.peers.note(cgroup, netns, addressText(actual), seconds)
    }
  }

  return {
    async look() {
      // Only asks; hearing of new connections would cost more than it saves for one look.
      const nat = openNat(host.namespaces, toldOnce, { listen: false })
      try {
        for (const { netns } of [...host.namespaces.living()]) {
          if (isStopped) return
          try {
            note(nat, netns, await socketsIn(netns))
          } catch (error) {
            toldOnce.warn('cannot see the connections of some network namespaces: their addresses are not asked', {
              reason: (error as Error).message,
              fix: 'grant CAP_SYS_ADMIN, or run as root',
            })
          }
        }
      } finally {
        nat.stop()
      }
    },
    stop() {
      isStopped = true
    },
  }
}

/**
 * Those whose own side has dialled, one for each control group and destination. Where the kernel's numbers do not tell, the
 * other has if somebody listens.
 */
function dialled(sockets: readonly DiagSocket[]): DiagSocket[] {
  const listened = new Set(sockets.filter(({ state }) => state === LISTEN).map(({ sourcePort }) => sourcePort))
  const found = new Map<string, DiagSocket>()
  for (const socket of sockets) {
    const { state, sourcePort, destination, destinationPort, cgroup } = socket
    const hasDialled = socket.dialled ?? !listened.has(sourcePort)
    if (state === LISTEN || !hasDialled || isLoopback(destination) || cgroup === undefined) continue
    found.set(`${cgroup} ${addressText(destination)} ${destinationPort}`, socket)
  }
  return [...found.values()]
}
