// What the kernel really sent (test/fixtures/netlink, Linux 6.18, beside what ip, ss and conntrack printed), then damaged.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { addressText, endpointText } from '../../../receivers/host/address.ts'
import { decodeAddresses } from '../../../receivers/host/addresses.ts'
import { conntrackEntries, decodeConntrack, isTranslated, type Tuple } from '../../../receivers/host/conntrack.ts'
import { decodeNamespaceId } from '../../../receivers/host/namespace_ids.ts'
import {
  attribute,
  attributes,
  datagrams,
  findAttribute,
  messages,
  nested,
  request,
  valueEnd,
} from '../../../receivers/host/netlink.ts'
import { decodeSocket, decodeSockets, decodeTcpInfo, TCP } from '../../../receivers/host/sockets.ts'
import { fixture } from '../fixture_host.ts'
import { damaged, randomFrom } from './damage.ts'

const captured = (name: string) => readFileSync(fixture(`netlink/${name}-6.18.bin`))

const from = ({ source, sourcePort }: Tuple) => endpointText(source, sourcePort)
const to = ({ destination, destinationPort }: Tuple) => endpointText(destination, destinationPort)

test('conntrack entries: both tuples, and whether the destination was translated', () => {
  const entries = [
    ...conntrackEntries(captured('conntrack-dump-ipv4')),
    ...conntrackEntries(captured('conntrack-dump-ipv6')),
  ]
  assert.deepEqual(
    entries.map((entry) => [
      entry.protocol,
      from(entry.original),
      to(entry.original),
      from(entry.reply),
      isTranslated(entry),
    ]),
    [
      [6, '10.3.0.1:47460', '10.3.0.1:80', '10.3.0.2:8080', true],
      [6, '10.3.0.2:56664', '10.3.0.2:8080', '10.3.0.2:8080', false],
      [6, '[fd03::1]:54788', '[fd03::1]:80', '[fd03::2]:8080', true],
    ],
  )
})

test('an answer about two tuples: an entry for the first, ENOENT for the second', () => {
  const bytes = captured('conntrack-get')
  assert.deepEqual(
    [...messages(bytes)].map(({ sequence, error }) => [sequence, error]),
    [
      [0, undefined],
      [1, 2],
    ],
  )
  assert.throws(() => [...conntrackEntries(bytes)], { code: 'ENOENT' })
})

test('sockets of both families with what the kernel counts', () => {
  const sockets = [...decodeSockets(captured('sock-diag-ipv4')), ...decodeSockets(captured('sock-diag-ipv6'))]
  const listener = sockets.find(({ state }) => state === TCP.LISTEN)
  assert.ok(listener)
  assert.deepEqual(
    [from(listener), listener.receiveQueue, listener.sendQueue, listener.v6only, listener.info?.rttUs],
    ['[::]:8080', 0, 7, false, undefined],
  )
  const connected = sockets.filter(({ state }) => state === TCP.ESTABLISHED)
  assert.equal(connected.length, 6)
  for (const { source, sourcePort, info, inode, cgroup, dialled } of connected) {
    assert.equal(dialled, sourcePort !== 8080)
    assert.equal(source.length, addressText(source).includes(':') ? 16 : 4)
    assert.deepEqual([info?.sentBytes, info?.receivedBytes], dialled ? [100, 5] : [5, 100])
    assert.ok((info?.rttUs ?? 0) > 0 && (info?.minRttUs ?? 0) > 0 && info?.retransmits === 0)
    assert.ok(inode > 0 && cgroup !== undefined)
  }
})

test('who dialled: what was acknowledged and is under way is what was sent, and a SYN, and a FIN that has left', () => {
  type Numbers = Partial<Record<'queue' | 'segments' | 'unsent' | 'acked' | 'sent' | 'again' | 'shutdown', number>>
  function dialled(numbers: Numbers, size = 240) {
    const { queue = 0, segments = 0, unsent = 0, acked = 0, sent = 0, again = 0, shutdown = 0 } = numbers
    const socket = Buffer.alloc(72)
    socket.writeUInt8(2, 0)
    socket.writeUInt32LE(queue, 60)
    const info = Buffer.alloc(240)
    info.writeUInt32LE(segments, 24)
    info.writeBigUInt64LE(BigInt(acked), 120)
    info.writeUInt32LE(unsent, 144)
    info.writeBigUInt64LE(BigInt(sent), 200)
    info.writeBigUInt64LE(BigInt(again), 208)
    const bytes = Buffer.concat([socket, attribute(8, Buffer.of(shutdown)), attribute(2, info.subarray(0, size))])
    return decodeSocket(bytes, 0, bytes.length)?.dialled
  }
  const [THEY_WROTE_ALL, WE_WROTE_ALL] = [1, 2]
  /** Of the side that was dialled; on the other one more is acknowledged. */
  const accepted: Numbers[] = [
    {},
    { acked: 700, sent: 1000, again: 300 },
    { queue: 300, segments: 2, unsent: 100, acked: 5, sent: 305, again: 100 },
    { acked: 2 ** 32 + 10, sent: 2 ** 32 + 10 },
    { shutdown: THEY_WROTE_ALL },
    { queue: 101, unsent: 101, shutdown: WE_WROTE_ALL },
    { queue: 1, segments: 1, shutdown: WE_WROTE_ALL },
    { acked: 1, shutdown: WE_WROTE_ALL | THEY_WROTE_ALL },
    // Something was written and acknowledged after the queue was read.
    { acked: 9, sent: 9 },
    { queue: 9, acked: 9, sent: 9 },
  ]
  for (const numbers of accepted) {
    assert.equal(dialled(numbers), false, JSON.stringify(numbers))
    assert.equal(dialled({ ...numbers, acked: (numbers.acked ?? 0) + 1 }), true, JSON.stringify(numbers))
  }
  // Numbers that do not fit together, the last because a byte left after the queue was read.
  for (const numbers of [{ acked: 2 }, { sent: 1 }, { segments: 1, acked: 1, sent: 1 }]) {
    assert.equal(dialled(numbers), undefined, JSON.stringify(numbers))
  }
  assert.equal(dialled({ acked: 1 }, 216), true)
  assert.equal(dialled({ acked: 1 }, 208), undefined, 'as before Linux 4.19')
})

test('addresses: of a point-to-point link the own end, and which one may not be used yet', () => {
  const written = [...decodeAddresses(captured('addresses'))].map(
    ({ address, prefixLength, scope, device, usable }) =>
      `${device} ${addressText(address)}/${prefixLength} ${scope}${usable ? '' : ' tentative'}`,
  )
  assert.deepEqual(written.toSorted(), [
    '1 10.3.0.1/32 global',
    '1 10.3.0.2/32 global',
    '1 127.0.0.1/8 host',
    '1 ::1/128 host',
    '1 fd03::1/128 global',
    '1 fd03::2/128 global',
    '2 10.9.0.1/32 global',
    '2 fd99::1/64 global tentative',
  ])
})

test('the id of a namespace', () => {
  const id = decodeNamespaceId(captured('nsid'))
  assert.ok(id !== undefined && id >= 0, `${id}`)
  assert.equal(decodeNamespaceId(Buffer.alloc(0)), undefined)
})

test('what is built is taken apart again', () => {
  const value = Buffer.from('abcde')
  const message = request(
    0x101,
    0x300,
    Buffer.of(2, 0, 0, 0),
    attribute(1, value),
    nested(2, attribute(3, Buffer.of(7))),
  )
  assert.equal(message.length % 4, 0)
  const [only, ...more] = [...messages(message)]
  assert.ok(only)
  assert.deepEqual([only.type, only.flags, more], [0x101, 0x301, []])
  const found = [...attributes(message, only.at + 4, only.end)]
  assert.deepEqual(
    found.map(({ type }) => type),
    [1, 2],
  )
  assert.deepEqual(message.subarray(found[0]?.at, found[0]?.end), value)
  const holder = findAttribute(message, only.at + 4, only.end, 2)
  const inner = findAttribute(message, holder, valueEnd(message, holder), 3)
  assert.deepEqual([message[inner], valueEnd(message, inner) - inner], [7, 1])
  assert.equal(findAttribute(message, only.at + 4, only.end, 9), -1)
})

test('datagrams that were drained: whole ones only', () => {
  const bytes = Buffer.alloc(24)
  bytes.writeInt32LE(-1, 0)
  bytes.writeUInt32LE(4, 4)
  bytes.writeInt32LE(3, 12)
  bytes.writeUInt32LE(4, 16)
  const whole = [...datagrams(bytes)]
  assert.deepEqual(whole, [
    { namespaceId: -1, at: 8, end: 12 },
    { namespaceId: 3, at: 20, end: 24 },
  ])
  assert.deepEqual([...datagrams(bytes.subarray(0, 23))], whole.slice(0, 1))
})

test('every prefix of what the kernel sent is taken apart without a complaint, and tells nothing new', () => {
  for (const { name, decode } of DECODERS) {
    const bytes = captured(name)
    const all = decode(bytes).map((one) => JSON.stringify(one))
    for (let length = 0; length < bytes.length; length++) {
      const some = decode(Buffer.from(Uint8Array.from(bytes.subarray(0, length)).buffer))
      assert.deepEqual(
        some.map((one) => JSON.stringify(one)),
        all.slice(0, some.length),
      )
    }
  }
})

test('damaged and random bytes are never read beyond their end, and give nothing misshapen', () => {
  const random = randomFrom(20261125)
  for (const { name, decode } of DECODERS) {
    const bytes = captured(name)
    for (let round = 0; round < 20_000; round++) {
      const given =
        round % 10 === 0
          ? Buffer.from(Uint8Array.from({ length: random(200) }, () => random(256)).buffer)
          : damaged(bytes, random)
      try {
        decode(given).forEach(wellShaped)
      } catch (error) {
        // An error that the kernel seems to tell of is told.
        assert.match(
          (error as NodeJS.ErrnoException).code ?? String(error),
          /^(E[A-Z0-9]+|Unknown system error -?\d+)$/,
          given.toString('hex'),
        )
      }
    }
  }
})

const DECODERS: { name: string; decode: (bytes: Buffer) => unknown[] }[] = [
  { name: 'conntrack-dump-ipv4', decode: (bytes) => [...conntrackEntries(bytes)] },
  { name: 'conntrack-dump-ipv6', decode: (bytes) => [...conntrackEntries(bytes)] },
  { name: 'sock-diag-ipv4', decode: (bytes) => [...decodeSockets(bytes)] },
  { name: 'sock-diag-ipv6', decode: (bytes) => [...decodeSockets(bytes)] },
  { name: 'addresses', decode: (bytes) => [...decodeAddresses(bytes)] },
  { name: 'nsid', decode: (bytes) => [decodeNamespaceId(bytes)].filter((id) => id !== undefined) },
]

/** Whatever the values: addresses have 4 or 16 bytes, numbers are numbers. */
function wellShaped(told: unknown): void {
  if (told instanceof Uint8Array) assert.ok(told.length === 4 || told.length === 16)
  else if (typeof told === 'object' && told !== null) Object.values(told).forEach(wellShaped)
  else if (typeof told === 'number') assert.ok(Number.isInteger(told))
}

test('a socket or tcp_info that is too short is not guessed at', () => {
  const bytes = captured('sock-diag-ipv4')
  const [first] = [...messages(bytes)]
  assert.ok(first)
  assert.equal(decodeSocket(bytes, first.at, first.at + 71), undefined)
  assert.equal(decodeSocket(bytes, first.at, first.at + 72)?.info, undefined)
  const info = Buffer.alloc(240, 1)
  assert.equal(decodeTcpInfo(info, 0, 103), undefined)
  // As kernels before 4.1 and before 4.19 have it.
  const old = decodeTcpInfo(info, 0, 104)
  assert.deepEqual([old?.minRttUs, old?.sentBytes, old?.receivedBytes], [undefined, undefined, undefined])
  const newer = decodeTcpInfo(info, 0, 200)
  assert.deepEqual(
    [newer?.minRttUs, newer?.sentBytes, newer?.receivedBytes],
    [0x01010101, undefined, 0x01010101 * (2 ** 32 + 1)],
  )
  assert.equal(decodeTcpInfo(info, 0, 240)?.sentBytes, 0)
  assert.equal(decodeConntrack(Buffer.alloc(3), 0, 3), undefined)
})
