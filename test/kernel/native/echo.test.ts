// Echo sockets as they are: what they refuse, and what they say of requests that cannot be sent.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEcho } from '../../../native/index.ts'
import { REQUEST_BYTES, readReply, writeRequest } from '../../../receivers/icmp_latency/packet.ts'
import { decodeRecords, type EchoRecord } from '../../../receivers/icmp_latency/records.ts'
import { atEnd } from '../../ending.ts'
import { requires } from '../../requires.ts'
import { until } from '../../until.ts'
import { makeNamespace } from '../network.ts'

const needs = requires('root', 'addon')
const EBADF = 9
const ENETUNREACH = 101

function opened(t: TestContext) {
  const echo = openEcho()
  atEnd(t, () => echo.close())
  const records: EchoRecord[] = []
  return {
    echo,
    async sent(): Promise<EchoRecord> {
      return until('it is sent', () => {
        records.push(...decodeRecords(echo.drain().records))
        return records.find(({ kind }) => kind === 'sent')
      })
    },
  }
}

function request(socket: number, address: readonly number[]): Buffer {
  const bytes = Buffer.alloc(32 + 8)
  bytes.writeUInt32LE(socket, 0)
  bytes.writeUInt32LE(77, 4)
  bytes.writeUInt32LE(8, 12)
  bytes.set(address, 16)
  bytes[32] = 8
  return bytes
}

test('wrong arguments are named and change nothing', needs, (t) => {
  const { echo } = opened(t)
  assert.throws(() => echo.open(5 as 4, 'raw', 1), { name: 'TypeError', message: /family/ })
  assert.throws(() => echo.open(4, 'stream' as 'raw', 1), { name: 'TypeError', message: /kind/ })
  assert.throws(() => echo.open(4, 'raw', 65_536), { name: 'TypeError', message: /ident/ })
  assert.throws(() => echo.send('' as unknown as Uint8Array), { name: 'TypeError', message: /requests/ })
  assert.throws(() => echo.send(Buffer.alloc(31)), { name: 'TypeError', message: /cut short/ })
  const cut = request(1, [127, 0, 0, 1]).subarray(0, 36)
  assert.throws(() => echo.send(cut), { name: 'TypeError', message: /cut short/ })
})

test('a descriptor that is no network namespace is refused by name', needs, (t) => {
  const { echo } = opened(t)
  const file = openSync('/proc/self/ns/uts', 'r')
  assert.throws(() => echo.open(4, 'raw', 1, file), { code: 'EINVAL', syscall: 'setns' })
})

test('a request through a socket that was closed, or to nowhere, says why it was not sent', needs, async (t) => {
  const first = opened(t)
  const { socket } = first.echo.open(4, 'raw', 1)
  first.echo.shut(socket)
  first.echo.send(request(socket, [127, 0, 0, 1]))
  const closed = await first.sent()
  assert.ok(closed.kind === 'sent')
  assert.deepEqual([closed.tag, closed.error], [77, EBADF])

  const second = opened(t)
  const namespace = openSync(`/run/netns/${makeNamespace(t).name}`, 'r') // which has no routes
  const { socket: open } = second.echo.open(4, 'raw', 1, namespace)
  closeSync(namespace)
  second.echo.send(request(open, [10, 9, 0, 2]))
  const nowhere = await second.sent()
  assert.ok(nowhere.kind === 'sent' && nowhere.error === ENETUNREACH)
})

test('beyond its bounds it takes no more requests, and says how many it took', needs, async (t) => {
  const { echo } = opened(t)
  const { socket } = echo.open(4, 'raw', 1)
  const one = request(socket, [127, 0, 0, 1])
  one.writeUInt32LE(3_600_000_000, 8)
  assert.equal(echo.send(Buffer.concat(Array.from({ length: 70_000 }, () => one))), 65_536)
  assert.equal(echo.send(one), 0)
  await sleep(20)
  assert.equal(echo.drain().lost, 0)
})

test('without raw sockets it is measured where ping_group_range allows, stamped all the same', needs, async (t) => {
  const namespace = makeNamespace(t)
  const file = openSync(`/run/netns/${namespace.name}`, 'r')
  atEnd(t, () => closeSync(file))
  const { echo } = opened(t)
  assert.throws(() => echo.open(4, 'dgram', 1, file), { code: 'EACCES', syscall: 'socket' })
  namespace.run('sysctl', '-q', '-w', 'net.ipv4.ping_group_range=0 2147483647')
  await sleep(100)
  for (const [family, address] of [
    [4, [127, 0, 0, 1]],
    [6, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
  ] as const) {
    const { socket, ident } = echo.open(family, 'dgram', 1, file)
    const signature = { ident, nonce: Buffer.from('nonsense') }
    const bytes = Buffer.concat([request(socket, address).subarray(0, 32), Buffer.alloc(REQUEST_BYTES)])
    bytes.writeUInt32LE(REQUEST_BYTES, 12)
    writeRequest(bytes, 32, family, signature, 5)
    echo.send(bytes)
    const records: EchoRecord[] = []
    const answer = await until('it is answered', () => {
      records.push(...decodeRecords(echo.drain().records))
      return records.find((record) => record.kind === 'reply')
    })
    assert.deepEqual(readReply(answer.data, family, signature), { kind: 'reply', index: 5 })
    const scheduled = records.find((record) => record.kind === 'stamp' && record.stamp === 'sched')
    assert.ok(scheduled?.kind === 'stamp' && answer.at !== undefined && answer.at > scheduled.at)
  }
})
