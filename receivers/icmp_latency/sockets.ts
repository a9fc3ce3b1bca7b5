// One socket for each namespace and family, opened when it is first needed and closed with the namespace.
import { randomBytes, randomInt } from 'node:crypto'
import { getSystemErrorName } from 'node:util'
import type { Echo } from '../../native/index.ts'
import type { Namespaces } from '../host/namespaces.ts'
import type { Logger } from '../receiver.ts'
import { type Family, NONCE_BYTES, type Signature } from './packet.ts'

export type EchoSocket = {
  readonly number: number
  readonly netns: number
  readonly family: Family
  /** What it receives of IPv4 begins with the IP header. */
  readonly isRaw: boolean
  readonly signature: Signature
  /** Of the next request. */
  nextIndex: number
  /** Requests that were sent, as OPT_ID counts them; undefined once a send has failed, which may have counted or not. */
  sent: number | undefined
}

export type Sockets = {
  /** Undefined when none can be had now. */
  get(netns: number, family: Family): EchoSocket | undefined
  byNumber(number: number): EchoSocket | undefined
  close(netns: number): void
  readonly open: number
  /** Namespaces that could not be entered, or have no socket for us, by reason. */
  readonly refused: Readonly<Record<string, number>>
}

/** A namespace that was refused is not asked again for so long. */
const ASK_AGAIN_MS = 60_000

const REMEDIES: Readonly<Record<string, string>> = {
  setns: 'grant CAP_SYS_ADMIN, or run as root: until then only the namespace of the agent is measured',
  socket:
    'grant CAP_NET_RAW, or run as root; or, in that namespace: sysctl -w net.ipv4.ping_group_range="0 2147483647"',
}

type Refusal = Error & { code: string; errno: number; syscall: string }

export function createSockets(echo: Echo, namespaces: Namespaces, log: Logger, now: () => number): Sockets {
  const byNumber = new Map<number, EchoSocket>()
  const byNamespace = new Map<number, Map<Family, EchoSocket>>()
  const refusedUntilMs = new Map<string, number>()
  const refused: Record<string, number> = {}
  const told = new Set<string>()

  function refuse(netns: number, family: Family, error: unknown): undefined {
    refusedUntilMs.set(`${netns} ${family}`, now() + ASK_AGAIN_MS)
    const { code = 'unknown', syscall = 'socket', message } = error as Partial<Refusal>
    const reason = `${syscall}_${code}`
    refused[reason] = (refused[reason] ?? 0) + 1
    if (told.has(reason)) return
    told.add(reason)
    // A kernel without IPv6 has no IPv6 destinations either, and there is nothing to fix.
    if (code === 'EAFNOSUPPORT') return
    log.warn('cannot measure from some network namespaces', {
      reason: message ?? String(error),
      netns,
      fix: REMEDIES[syscall] ?? 'see the reason',
    })
  }

  /** Raw where we may; else the kind for everybody, where the namespace allows it. */
  function openIn(netns: number, family: Family, namespace: number | undefined): EchoSocket | undefined {
    let first: unknown
    for (const kind of ['raw', 'dgram'] as const) {
      try {
        const { socket: number, ident } = echo.open(family, kind, randomInt(1, 0x10000), namespace)
        const signature = { ident, nonce: randomBytes(NONCE_BYTES) }
        return { number, netns, family, isRaw: kind === 'raw', signature, nextIndex: 0, sent: 0 }
      } catch (error) {
        first ??= error
        const { errno } = error as Partial<Refusal>
        if (errno === undefined || !['EPERM', 'EACCES'].includes(getSystemErrorName(errno))) break
        if ((error as Refusal).syscall === 'setns') break
      }
    }
    return refuse(netns, family, first)
  }

  function open(netns: number, family: Family): EchoSocket | undefined {
    if ((refusedUntilMs.get(`${netns} ${family}`) ?? 0) > now() || !namespaces.has(netns)) return undefined
    const socket = namespaces.within(netns, (namespace) => openIn(netns, family, namespace))
    if (socket === undefined) {
      refusedUntilMs.set(`${netns} ${family}`, now() + ASK_AGAIN_MS)
      return undefined
    }
    byNumber.set(socket.number, socket)
    const sockets = byNamespace.get(netns) ?? new Map<Family, EchoSocket>()
    byNamespace.set(netns, sockets.set(family, socket))
    return socket
  }

  return {
    get: (netns, family) => byNamespace.get(netns)?.get(family) ?? open(netns, family),
    byNumber: (number) => byNumber.get(number),
    close(netns) {
      for (const { number } of byNamespace.get(netns)?.values() ?? []) {
        echo.shut(number)
        byNumber.delete(number)
      }
      byNamespace.delete(netns)
      for (const family of [4, 6]) refusedUntilMs.delete(`${netns} ${family}`)
    },
    get open() {
      return byNumber.size
    },
    refused,
  }
}
