// The prober on crafted records: a clock that is set between request and reply, which no test may do to a real machine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Echo } from '../../../native/index.ts'
import { parseAddress } from '../../../receivers/icmp_latency/addresses.ts'
import { NONCE_BYTES, REQUEST_BYTES, writeRequest } from '../../../receivers/icmp_latency/packet.ts'
import { createProber } from '../../../receivers/icmp_latency/prober.ts'
import type { EchoSocket } from '../../../receivers/icmp_latency/sockets.ts'
import { latencyS } from '../../../receivers/icmp_latency/statistics.ts'
import { createTarget } from '../../../receivers/icmp_latency/target.ts'

const [SENT, STAMP, REPLY] = [1, 2, 4]
const SCHED = 1
const MS = 1e6
const SECOND = 1e9
const signature = { ident: 0x1234, nonce: new Uint8Array(NONCE_BYTES).fill(7) }
const startS = Math.floor(Date.now() / 1000)

type Crafted = { kind: number; number?: number; detail?: number; atNs: number; stepNs: number; data?: Buffer }

/** struct EchoRecord (native/echo_records.h): `atNs` on a monotonic clock, `stepNs` what the real one was set by. */
function record({ kind, number = 0, detail = 0, atNs, stepNs, data = Buffer.alloc(0) }: Crafted): Buffer {
  const bytes = Buffer.alloc(48)
  bytes.writeUInt16LE(data.length, 0)
  bytes[2] = kind
  bytes.writeUInt32LE(1, 4)
  bytes.writeUInt32LE(number, 8)
  bytes.writeInt32LE(detail, 12)
  const split = (ns: number, at: number) => {
    bytes.writeUInt32LE(startS + Math.floor(ns / SECOND), at)
    bytes.writeUInt32LE(((ns % SECOND) + SECOND) % SECOND, at + 4)
  }
  split(atNs + stepNs, 16)
  split(stepNs, 24)
  bytes.set([10, 0, 0, 2], 32)
  return Buffer.concat([bytes, data])
}

/** One probe that takes `roundTripNs`, while the clock is set by `stepNs` after it was sent. */
function probe(roundTripNs: number, stepNs: number) {
  const address = parseAddress('10.0.0.2')
  assert.ok(address)
  const target = createTarget(1, address, 0)
  const socket: EchoSocket = { number: 1, netns: 1, family: 4, isRaw: false, signature, nextIndex: 0, sent: 0 }
  let records = Buffer.alloc(0)
  const echo = { send: () => 1, drain: () => ({ records, lost: 0, rounds: 0 }) } as unknown as Echo
  const sockets = { get: () => socket, byNumber: () => socket, close() {}, open: 1, refused: {} }
  const prober = createProber({ echo, sockets, now: () => 0, replyTimeoutMs: 2000 })
  prober.send([{ target, afterMs: 0 }])
  const reply = Buffer.alloc(REQUEST_BYTES)
  writeRequest(reply, 0, 4, signature, 0)
  reply[0] = 0
  records = Buffer.concat([
    record({ kind: SENT, atNs: SECOND, stepNs: 0 }),
    record({ kind: STAMP, detail: SCHED, atNs: SECOND, stepNs: 0 }),
    record({ kind: REPLY, atNs: SECOND + roundTripNs, stepNs, data: reply }),
  ])
  prober.read()
  return { latencyS: latencyS(target.recent), clockSet: prober.counts.clock_set, silent: target.silent }
}

test('a round trip is the time between the stamps of the kernel', () => {
  assert.deepEqual(probe(3 * MS, 0), { latencyS: 0.003, clockSet: 0, silent: 0 })
})

test('a clock that is set between request and reply gives no sample and no loss, and is counted', () => {
  for (const stepNs of [-3600 * SECOND, -2 * MS, 2 * MS, 40 * MS, 3600 * SECOND]) {
    assert.deepEqual(probe(3 * MS, stepNs), { latencyS: undefined, clockSet: 1, silent: 0 }, `${stepNs} ns`)
  }
})

test('a clock that is slewed spoils no sample', () => {
  assert.equal(probe(SECOND, 0.0005 * SECOND).clockSet, 0)
})
