// Connections by BPF: sums that the kernel keeps, living sockets that a pass looks at, and what is told one by one.
import type { Host } from '../host/host.ts'
import type { Resolver } from './answers.ts'
import { type CountingOptions, openCounting } from './bpf.ts'
import { createConnections, UNKNOWN } from './connections.ts'
import type { Flows } from './flows.ts'
import { createHolders } from './holders.ts'
import { createKernelSums } from './kernel_sums.ts'
import { createLateResets } from './late_resets.ts'
import type { Listening } from './listens.ts'
import { type Connection, decodePass, decodeRing, RECORD_SIZE } from './records.ts'
import type { Source } from './source.ts'

/** Of those that were there before us. */
const ASKED_AT_ONCE = 4096
/** What was learnt about destinations is doubted after a while, also when nothing comes. */
const DOUBT_EVERY_MS = 5000

type Options = {
  readonly host: Host
  readonly flows: Flows
  readonly forgetAfterMs: number
  /** Undefined: who is dialled is taken for who answers. */
  readonly resolver: Resolver | undefined
  /** Lists what is open and who listens, where the kernel cannot make passes over descriptors (before 5.11). */
  readonly lister: Source
} & Omit<CountingOptions, 'layout' | 'resolve'>

/** Counts from now on, and looks at once at what was there before. Throws with a remedy where BPF does not work. */
export function openCounted({ host, flows, forgetAfterMs, resolver, lister, ...rest }: Options): Source {
  const counting = openCounting({ ...rest, layout: host.layout, resolve: resolver !== undefined })
  const connections = createConnections(host, flows)
  const sums = createKernelSums({ counting, flows, host, forgetAfterMs })
  const holders = createHolders(host, counting)
  const lateResets = createLateResets(flows)
  let damaged = 0
  let ringFull = 0
  let doubtfulPasses = 0
  const doubting = resolver && setInterval(() => resolver.follow(counting), DOUBT_EVERY_MS).unref()

  let isClosed = false

  function close(): void {
    isClosed = true
    clearInterval(doubting)
    counting.close()
  }

  /** Sockets whose end was told. */
  function drain(): Set<string> {
    const bytes = counting.drain()
    const closed = new Set<string>()
    resolver?.follow(counting)
    damaged += bytes.length / (4 + RECORD_SIZE)
    const told: Connection[] = []
    for (const one of decodeRing(bytes)) {
      damaged--
      if (one.event === 'reset_late') lateResets.told(one, () => resolver?.answered(one))
      else told.push(one)
    }
    // What is known already, or will be in a moment, keeps its answer.
    const opened = new Set(told.filter(({ event }) => event === 'opened').map(({ socket }) => socket))
    const isAsked = ({ event, socket }: Connection) =>
      event !== 'end_lost' &&
      event !== 'left' &&
      event !== 'reset_sent' &&
      (event !== 'closed' || (!connections.isKnown(socket) && !opened.has(socket)))
    const answers = resolver?.answers(told, isAsked, counting) ?? []
    connections.told(told, answers)
    for (const { event, socket } of told) if (event === 'closed' || event === 'end_lost') closed.add(socket)
    return closed
  }

  /** `isCounted`: what is open counts as connected, with its bytes. */
  function pass(isCounted = true): Listening[] {
    holders.look(flows)
    const bytes = counting.pass()
    const closed = drain()
    const listeners: Connection[] = []
    const strangers = new Map<string, Connection>()
    connections.beginPass()
    // One at a time: there may be tens of thousands, and nearly all are known.
    for (const one of decodePass(bytes)) {
      if (one.event === 'listens') listeners.push(one)
      else if (one.event !== 'lives' || closed.has(one.socket)) continue
      else if (!connections.isKnown(one.socket)) strangers.set(one.socket, one)
      else if (!connections.isSeen(one.socket)) connections.lives(one, UNKNOWN)
    }
    const unknown = [...strangers.values()]
    for (let at = 0; at < unknown.length; at += ASKED_AT_ONCE) {
      const some = unknown.slice(at, at + ASKED_AT_ONCE)
      const answers = resolver?.answers(some, () => true, counting) ?? []
      for (const [i, one] of some.entries()) connections.lives(one, answers[i] ?? UNKNOWN, isCounted)
    }
    const lost = counting.losses().ring_full
    // What ended untold is missing in the passes that follow.
    if (lost > ringFull) doubtfulPasses = 3
    if (doubtfulPasses > 0 && counting.passes) {
      doubtfulPasses--
      connections.endUnseen()
    }
    ringFull = lost
    holders.seen(listeners)
    return listeners.map(listening)
  }

  try {
    if (resolver !== undefined) {
      counting.follow(drain)
      resolver.onHeard(() => void (isClosed || resolver.follow(counting)))
    }
    pass(rest.history)
  } catch (error) {
    close()
    throw error
  }

  return {
    known: { connects: true, resets: counting.resets, bytes: true },
    async collect() {
      const nowMs = performance.now()
      if (!counting.passes) {
        pass()
        const listens = await lister.collect(flows)
        sums.carryOver(nowMs)
        lateResets.settle()
        return listens
      }
      const listens = pass()
      for (const flow of flows.all()) {
        flow.active = 0
        flow.minRttUs = undefined
      }
      sums.carryOver(nowMs)
      connections.addActive()
      lateResets.settle()
      return listens
    },
    figures: () => ({
      losses: {
        ...(!counting.passes && lister.figures().losses),
        ...counting.losses(),
        damaged_records: damaged,
        unknown_cgroup: sums.unattributed + connections.unattributed,
        end_not_told: connections.forgotten,
        late_reset_of_unknown: lateResets.unattributed,
        no_room_for_holder: holders.refused,
        ...resolver?.losses(),
      },
      entries: {
        kernel_sums: sums.size,
        told_connections: connections.size,
        flows: flows.size,
        ...resolver?.entries(),
      },
      memoryBytes: counting.memoryBytes(),
    }),
    close() {
      close()
      lister.close()
    },
  }
}

const listening = ({ socket, netns, local, localPort, drops, holderCgroup, pid, v6only }: Connection): Listening => ({
  socket,
  netns,
  local,
  localPort,
  bothFamilies: !v6only,
  drops,
  holderCgroup,
  pid,
})
