// The netlink class: wrong arguments are told apart before the kernel sees them, and nothing stays open.
import assert from 'node:assert/strict'
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type NetlinkOptions, openNetlink } from '../../native/index.ts'
import { request } from '../../receivers/host/netlink.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const needs = requires('addon')
const ROUTE = 0
const RTM_GETADDR = 22
const DUMP = 0x300
const addresses = request(RTM_GETADDR, DUMP, Buffer.alloc(8))

/** What a caller without types could pass. */
const wrong = <T>(value: unknown) => value as T

const sockets = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // the descriptor of the listing itself
    }
  }).length

const mistakes: [options: unknown, message: RegExp][] = [
  [undefined, /options must be an object/],
  [{}, /protocol must be a whole number from 0 to 31/],
  [{ protocol: 32 }, /protocol must be a whole number/],
  [{ protocol: 0, namespace: -1 }, /namespace must be a whole number/],
  [{ protocol: 0, bufferBytes: 1.5 }, /bufferBytes must be a whole number/],
  [{ protocol: 0, groups: 5 }, /groups must be an array of numbers/],
  [{ protocol: 0, groups: ['5'] }, /groups must be an array of numbers/],
  [{ protocol: 0, filter: 'ret' }, /filter must be a Uint8Array of 1 to 4096 instructions/],
  [{ protocol: 0, filter: Buffer.alloc(7) }, /filter must be/],
  [{ protocol: 0, filter: Buffer.alloc(0) }, /filter must be/],
  [{ protocol: 0, filter: Buffer.alloc(8 * 4097) }, /filter must be/],
]

for (const [options, message] of mistakes) {
  test(`openNetlink refuses ${JSON.stringify(options)?.slice(0, 60)}`, needs, () => {
    const before = sockets()
    assert.throws(() => openNetlink(wrong<NetlinkOptions>(options)), { name: 'TypeError', message })
    assert.equal(sockets(), before)
  })
}

test('what the kernel refuses has its code and says what was attempted, and leaves no socket', needs, () => {
  const before = sockets()
  assert.throws(() => openNetlink({ protocol: 31 }), { code: 'EPROTONOSUPPORT', syscall: 'socket' })
  const file = openSync('/proc/self/status', 'r')
  try {
    const options = { protocol: ROUTE, namespace: file }
    assert.throws(() => openNetlink(options), { code: 'EINVAL', message: /cannot enter a network namespace/ })
  } finally {
    closeSync(file)
  }
  assert.throws(() => openNetlink({ protocol: ROUTE, namespace: 1_000_000 }), { code: 'EBADF', syscall: 'setns' })
  // Jumps beyond its end.
  const filter = Buffer.from('1500050500000000', 'hex')
  assert.throws(() => openNetlink({ protocol: ROUTE, filter }), { code: 'EINVAL', syscall: 'setsockopt' })
  assert.throws(() => openNetlink({ protocol: ROUTE, groups: [0xffff] }), { code: 'EINVAL', syscall: 'setsockopt' })
  assert.equal(sockets(), before)
})

test('requests must be whole, and a dump in pieces has to be read to its end', needs, () => {
  const netlink = openNetlink({ protocol: ROUTE })
  try {
    const tooLong = Buffer.from(addresses)
    tooLong.writeUInt32LE(25, 0)
    const tooShort = Buffer.from(addresses)
    tooShort.writeUInt32LE(15, 0)
    for (const bytes of [
      Buffer.alloc(15),
      addresses.subarray(0, 23),
      tooLong,
      tooShort,
      Buffer.concat([addresses, Buffer.of(1)]),
    ]) {
      assert.throws(() => netlink.ask(bytes), { name: 'TypeError', message: /whole netlink messages/ })
    }
    assert.throws(() => netlink.ask(wrong('')), { message: 'requests must be a Uint8Array' })
    assert.equal(netlink.ask(new Uint8Array()).length, 0)
    const whole = netlink.ask(addresses)
    assert.ok(whole.length > 0)
    assert.deepEqual(netlink.ask(Buffer.concat([addresses, addresses])).length, 2 * whole.length)

    assert.throws(() => netlink.begin(new Uint8Array()), { message: 'request must be one dump request' })
    assert.throws(() => netlink.begin(Buffer.concat([addresses, addresses])), { message: /one dump request/ })
    assert.throws(() => netlink.begin(request(RTM_GETADDR, 0, Buffer.alloc(8))), { message: /one dump request/ })
    assert.equal(netlink.next(1).length, 0, 'nothing is under way')
    netlink.begin(addresses)
    assert.throws(() => netlink.begin(addresses), { message: /a dump is under way/ })
    assert.throws(() => netlink.next(0), { message: /maxBytes must be a whole number/ })
    const pieces: Buffer[] = []
    for (let piece = netlink.next(1); piece.length > 0; piece = netlink.next(1)) pieces.push(piece)
    assert.equal(Buffer.concat(pieces).length, whole.length)
    assert.equal(netlink.ask(addresses).length, whole.length, 'and it can be asked again')
  } finally {
    netlink.close()
  }
  netlink.close()
  assert.throws(() => netlink.ask(addresses), { message: 'this netlink socket is closed' })
  assert.throws(() => netlink.drain(), { message: 'this netlink socket is closed' })
})

test(
  'a request that the kernel refuses is answered with its error, and the others are answered all the same',
  needs,
  () => {
    const netlink = openNetlink({ protocol: ROUTE })
    try {
      const unknown = request(0xfff, 0, Buffer.alloc(8))
      const answer = netlink.ask(Buffer.concat([unknown, addresses, unknown]))
      assert.deepEqual([answer.readUInt16LE(4), answer.readUInt32LE(8)], [2, 0], 'an error for the first')
      assert.ok(answer.length > 200, 'addresses between')
    } finally {
      netlink.close()
    }
  },
)

test('a socket that listens only listens', needs, () => {
  const netlink = openNetlink({ protocol: ROUTE, groups: [1] })
  try {
    assert.throws(() => netlink.ask(addresses), { message: /listens: ask with another one/ })
    assert.deepEqual(netlink.drain(), { datagrams: Buffer.alloc(0), overflows: 0, lost: 0 })
  } finally {
    netlink.close()
  }
})

test('a socket that nobody refers to any more is closed, in the middle of a dump too', needs, async () => {
  const before = sockets()
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  ;(() => {
    for (let i = 0; i < 20; i++) openNetlink({ protocol: ROUTE }).begin(addresses)
  })()
  assert.equal(sockets(), before + 20)
  await until('they are collected', () => {
    collect()
    return sockets() === before
  })
})
