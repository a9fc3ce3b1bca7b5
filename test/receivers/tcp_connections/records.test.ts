// Records of connections: as the kernel writes them, damaged, and random bytes.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { addressText } from '../../../receivers/host/address.ts'
import { decodeConnection, decodePass, decodeRing, RECORD_SIZE } from '../../../receivers/tcp_connections/records.ts'

function record(event: number): Buffer {
  const bytes = Buffer.alloc(RECORD_SIZE)
  bytes.writeBigUInt64LE(0xffff888012345678n, 0)
  bytes.writeBigUInt64LE(196n, 8)
  bytes.set(Buffer.from('00000000000000000000ffff0a4d0102', 'hex'), 16)
  bytes.set(Buffer.from('fd770002000000000000000000000003', 'hex'), 32)
  bytes.writeBigUInt64LE(2n ** 33n, 48)
  bytes.writeUInt32LE(4026531840, 64)
  bytes.writeUInt16LE(40000, 68)
  bytes.writeUInt16LE(8080, 70)
  bytes.writeUInt32LE(151, 84)
  bytes[96] = event
  bytes[97] = 5
  bytes[98] = 4
  return bytes
}

const framed = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([length, bytes])
}

test('a record is a connection', () => {
  const told = decodeConnection(record(2))
  assert.ok(told)
  assert.deepEqual([told.event, told.failure, told.cgroup, told.connectUs], ['failed', 5, 196, 150])
  assert.deepEqual([addressText(told.local), told.localPort], ['10.77.1.2', 40000])
  assert.deepEqual([addressText(told.remote), told.remotePort], ['fd77:2::3', 8080])
  assert.deepEqual([told.sentBytes, told.active], [2 ** 33, true])
})

test('of a listening socket the flag says something else', () => {
  const told = decodeConnection(record(5))
  assert.deepEqual([told?.event, told?.active, told?.v6only], ['listens', false, false])
})

test('what is cut short or unknown is passed over, and what follows is not', () => {
  const unknownFailure = record(2)
  unknownFailure[97] = 200
  assert.equal(decodeConnection(record(0)), undefined)
  assert.equal(decodeConnection(record(10)), undefined)
  assert.equal(decodeConnection(record(6))?.event, 'end_lost')
  assert.equal(decodeConnection(record(8))?.event, 'reset_late')
  assert.equal(decodeConnection(record(9))?.event, 'reset_sent')
  assert.equal(decodeConnection(unknownFailure), undefined)
  assert.equal(decodeConnection(record(1).subarray(1)), undefined)
  const ring = Buffer.concat([
    framed(record(1)),
    framed(Buffer.alloc(7)),
    framed(record(3)),
    framed(record(3)).subarray(0, 50),
  ])
  assert.deepEqual(
    [...decodeRing(ring)].map(({ event }) => event),
    ['opened', 'closed'],
  )
  assert.equal([...decodePass(Buffer.concat([record(4), record(0), record(5), Buffer.alloc(20)]))].length, 2)
})

test('no bytes make it throw', () => {
  for (let i = 0; i < 2000; i++) {
    const bytes = randomBytes(i % 700)
    for (const { local } of [...decodeRing(bytes), ...decodePass(bytes)]) assert.equal(local.length, 16)
  }
})
