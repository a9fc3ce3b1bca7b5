// Sends probes and finds out what became of each: answered, lost, late, answered twice, refused by an error.
// Time is the kernel's: from when the request came to the packet scheduler to when the driver handed over the reply.
import type { Echo } from '../../native/index.ts'
import { failureOf, failureOfSend } from './failures.ts'
import {
  indexIn,
  quotedIndex,
  REQUEST_BYTES,
  type Reading,
  readReply,
  withoutIpHeader,
  writeRequest,
} from './packet.ts'
import { decodeRecords, type EchoRecord, monotonicMs, type Nanoseconds } from './records.ts'
import type { Planned } from './schedule.ts'
import type { EchoSocket, Sockets } from './sockets.ts'
import { answered, duplicated, failed, late, lost, sent, type Target } from './target.ts'

/** What was seen beside round trips and losses, since the start. */
export type ProberCounts = {
  /** Replies to us that are no answer to anything we sent: wrong nonce, wrong sender. */
  forged: number
  truncated: number
  /** Replies to others, or so late that their probe is forgotten. */
  unknown: number
  /** Answered, but the kernel has not stamped it: no sample. */
  unstamped: number
  /** Answered, but the clock was set meanwhile: no sample. */
  clock_set: number
  /** Records of the thread that found no room because we had not called for long. */
  records_lost: number
  /** Probes for which the thread had no room. */
  unsent: number
  /** Failures of a socket while reading. */
  socket_failures: number
}

export type Prober = {
  send(planned: readonly Planned[]): void
  /** Takes in what has happened, and gives up what has waited too long. */
  read(): void
  /** False when nothing can come that anybody would want to know of. */
  readonly isWaiting: boolean
  readonly counts: ProberCounts
}

type Probe = {
  readonly target: Target
  readonly socket: EchoSocket
  readonly index: number
  readonly plannedMs: number
  /** Monotonic milliseconds; undefined until the thread has sent it. */
  sentMs: number | undefined
  /** OPT_ID's. */
  counter: number | undefined
  offset: Nanoseconds
  scheduled: Nanoseconds | undefined
  driven: Nanoseconds | undefined
  received: Nanoseconds | undefined
  state: 'waiting' | 'answered' | 'lost'
}

const HEADER_BYTES = 32
/** How long after its time a probe is remembered, so that a late answer or a second one is known. */
const REMEMBER_MS = 10_000
/** A probe that the thread was never able to send: its namespace was closed, or the thread is held back. */
const NEVER_SENT_MS = 60_000
/** Clocks that are slewed go up to this much faster or slower (adjtime(3)); more is a step. */
const SLEW = 0.001
const UNSURE_NS = 100_000

type Options = {
  readonly echo: Echo
  readonly sockets: Sockets
  /** CLOCK_MONOTONIC in milliseconds. */
  readonly now: () => number
  readonly replyTimeoutMs: number
}

export function createProber({ echo, sockets, now, replyTimeoutMs }: Options): Prober {
  const counts: ProberCounts = {
    forged: 0,
    truncated: 0,
    unknown: 0,
    unstamped: 0,
    clock_set: 0,
    records_lost: 0,
    unsent: 0,
    socket_failures: 0,
  }
  /** By `socket number × 2^32 + index`, and by OPT_ID's counter in its place. */
  const probes = new Map<number, Probe>()
  const byCounter = new Map<number, Probe>()
  const keyOf = (socket: number, index: number) => socket * 2 ** 32 + index
  /** In the order in which they were planned. */
  let waiting: Probe[] = []
  const remembered: Probe[] = []
  /** Answered in this reading; measured at its end, because stamps may come after the reply. */
  let fresh: Probe[] = []
  /** Everything that came before `ms` is known when the thread has finished that round. */
  let checkpoint = { round: 0, ms: Number.NEGATIVE_INFINITY }

  function send(planned: readonly Planned[]): void {
    const nowMs = now()
    const given: { probe: Probe; afterMs: number }[] = []
    for (const { target, afterMs } of planned) {
      const socket = sockets.get(target.netns, target.address.family)
      if (socket === undefined) continue
      const index = socket.nextIndex
      socket.nextIndex = (index + 1) % 2 ** 32
      given.push({
        afterMs,
        probe: {
          target,
          socket,
          index,
          plannedMs: nowMs + afterMs,
          sentMs: undefined,
          counter: undefined,
          offset: 0,
          scheduled: undefined,
          driven: undefined,
          received: undefined,
          state: 'waiting',
        },
      })
    }
    const bytes = Buffer.alloc(given.length * (HEADER_BYTES + REQUEST_BYTES))
    for (const [i, { probe, afterMs }] of given.entries()) {
      const at = i * (HEADER_BYTES + REQUEST_BYTES)
      bytes.writeUInt32LE(probe.socket.number, at)
      bytes.writeUInt32LE(probe.index, at + 4)
      bytes.writeUInt32LE(Math.max(0, Math.round(afterMs * 1000)), at + 8)
      bytes.writeUInt32LE(REQUEST_BYTES, at + 12)
      bytes.set(probe.target.address.bytes, at + 16)
      writeRequest(bytes, at + HEADER_BYTES, probe.socket.family, probe.socket.signature, probe.index)
    }
    const taken = given.length > 0 ? echo.send(bytes) : 0
    counts.unsent += given.length - taken
    for (const { probe } of given.slice(0, taken)) {
      probes.set(keyOf(probe.socket.number, probe.index), probe)
      waiting.push(probe)
    }
  }

  function probeOf(socket: EchoSocket, index: number | undefined): Probe | undefined {
    return index === undefined ? undefined : probes.get(keyOf(socket.number, index))
  }

  function onSent(probe: Probe, record: EchoRecord & { kind: 'sent' }): void {
    probe.sentMs = monotonicMs(record.at, record.offset)
    probe.offset = record.offset
    sent(probe.target)
    const { socket } = probe
    if (record.error === 0) {
      if (socket.sent === undefined) return
      probe.counter = socket.sent++
      byCounter.set(keyOf(socket.number, probe.counter), probe)
      return
    }
    socket.sent = undefined
    failed(probe.target, failureOfSend(record.error))
    giveUp(probe)
  }

  function onStamp(socket: EchoSocket, record: EchoRecord & { kind: 'stamp' }): void {
    // As long as each send has succeeded the counter tells, also of a packet that was encrypted on its way (IPsec).
    const counted = socket.sent === undefined ? undefined : byCounter.get(keyOf(socket.number, record.counter))
    const probe = counted ?? probeOf(socket, indexIn(record.data(), socket.signature))
    if (probe === undefined) return
    // Devices on top of others each have a scheduler: the first is where our waiting began.
    if (record.stamp === 'sched') probe.scheduled ??= record.at
    else probe.driven ??= record.at
  }

  function onReply(socket: EchoSocket, record: EchoRecord & { kind: 'reply' }): void {
    const { family, signature, isRaw } = socket
    const message = family === 4 && isRaw ? withoutIpHeader(record.data) : record.data
    const reading: Reading = message ? readReply(message, family, signature) : { kind: 'foreign' }
    if (reading.kind === 'forged' || reading.kind === 'truncated') counts[reading.kind]++
    if (reading.kind === 'foreign') counts.unknown++
    if (reading.kind !== 'reply') return
    const probe = probeOf(socket, reading.index)
    if (probe === undefined) counts.unknown++
    else if (!isFrom(probe.target, record.source)) counts.forged++
    else take(probe, record)
  }

  function take(probe: Probe, record: EchoRecord & { kind: 'reply' }): void {
    if (probe.state === 'answered') return void duplicated(probe.target)
    probe.received ??= record.at
    if (probe.state === 'lost') {
      late(probe.target)
      probe.state = 'answered'
      return
    }
    probe.state = 'answered'
    // What was set back or forth between the two stamps shows in neither of them.
    const roundTripNs = (record.at ?? 0) - (probe.scheduled ?? record.at ?? 0)
    if (Math.abs(record.offset - probe.offset) > UNSURE_NS + SLEW * Math.abs(roundTripNs)) {
      probe.received = undefined
      counts.clock_set++
    } else if (record.at === undefined) {
      counts.unstamped++
    }
    fresh.push(probe)
  }

  function measure(probe: Probe): void {
    const { target, received, scheduled, driven } = probe
    const left = scheduled ?? driven
    if (received === undefined) {
      target.silent = 0
      return
    }
    const roundTripNs = received - (left ?? received)
    if (left === undefined || roundTripNs < 0) {
      counts[left === undefined ? 'unstamped' : 'clock_set']++
      target.silent = 0
    } else if (roundTripNs > replyTimeoutMs * 1e6) {
      lost(target)
      late(target)
    } else {
      const queuedNs = scheduled === undefined || driven === undefined ? 0 : Math.max(0, driven - scheduled)
      answered(target, roundTripNs / 1e9, queuedNs / 1e9)
    }
  }

  function onError(socket: EchoSocket, record: EchoRecord & { kind: 'error' }): void {
    const quoted = quotedIndex(record.data, socket.family, socket.signature)
    if (quoted === undefined) return // of somebody else's packet: every raw socket hears of it
    // Of a half the whole is the latest request that ends so.
    const { nextIndex } = socket
    const index = quoted.whole ? quoted.index : nextIndex - 1 - ((nextIndex - 1 - quoted.index) & 0xffff)
    const probe = probeOf(socket, index)
    if (probe?.state !== 'waiting') return
    failed(probe.target, failureOf(record))
    giveUp(probe)
  }

  function giveUp(probe: Probe): void {
    if (probe.state !== 'waiting') return
    probe.state = 'lost'
    lost(probe.target)
  }

  /** Those whose time was over at the checkpoint, and whose answer would be known if it had come by then. */
  function expire(): void {
    const still: Probe[] = []
    for (const probe of waiting) {
      if (probe.state === 'waiting' && !isOver(probe)) {
        still.push(probe)
        continue
      }
      giveUp(probe)
      remembered.push(probe)
    }
    waiting = still
    const forgetMs = now() - replyTimeoutMs - REMEMBER_MS
    const kept = remembered.findIndex(({ sentMs }) => (sentMs ?? 0) > forgetMs)
    const gone = remembered.splice(0, kept < 0 ? remembered.length : kept)
    for (const { socket, index, counter } of gone) {
      probes.delete(keyOf(socket.number, index))
      if (counter !== undefined) byCounter.delete(keyOf(socket.number, counter))
    }
  }

  function isOver({ sentMs, socket, plannedMs }: Probe): boolean {
    if (sentMs !== undefined) return sentMs + replyTimeoutMs < checkpoint.ms
    return sockets.byNumber(socket.number) !== socket || plannedMs + NEVER_SENT_MS < checkpoint.ms
  }

  function read(): void {
    const beganMs = now()
    const { records, lost: recordsLost, rounds } = echo.drain()
    counts.records_lost += recordsLost
    for (const record of decodeRecords(records)) {
      const socket = sockets.byNumber(record.socket)
      if (socket === undefined) continue // closed meanwhile, with its namespace
      if (record.kind === 'sent') {
        const probe = probeOf(socket, record.tag)
        if (probe) onSent(probe, record)
      } else if (record.kind === 'stamp') onStamp(socket, record)
      else if (record.kind === 'reply') onReply(socket, record)
      else if (record.kind === 'error') onError(socket, record)
      else counts.socket_failures++
    }
    for (const probe of fresh) measure(probe)
    fresh = []
    if (((rounds - checkpoint.round) | 0) < 2) return
    expire()
    checkpoint = { round: rounds, ms: beganMs }
  }

  return {
    send,
    read,
    get isWaiting() {
      return waiting.length > 0 || remembered.length > 0
    },
    counts,
  }
}

function isFrom({ address }: Target, source: Buffer): boolean {
  return source.subarray(0, address.bytes.length).equals(address.bytes)
}
