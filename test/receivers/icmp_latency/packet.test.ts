// Echo packets: written as RFC 792 and RFC 4443 have them, and told apart when they come back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checksum,
  type Family,
  indexIn,
  quotedIndex,
  REQUEST_BYTES,
  readReply,
  withoutIpHeader,
  writeRequest,
} from '../../../receivers/icmp_latency/packet.ts'
import { random } from '../../processors/given.ts'

const ours = { ident: 0x1234, nonce: Buffer.from('a1b2c3d4e5f60718', 'hex') }

function request(family: Family, index: number): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES)
  writeRequest(bytes, 0, family, ours, index)
  return bytes
}

function reply(family: Family, index: number): Buffer {
  const bytes = request(family, index)
  bytes[0] = family === 4 ? 0 : 129
  return bytes
}

test('an IPv4 request sums up to what RFC 1071 asks, an IPv6 one is left to the kernel', () => {
  const v4 = request(4, 70_000)
  assert.equal(v4.subarray(0, 8).toString('hex').slice(0, 4), '0800')
  assert.equal(checksum(v4, 0, v4.length), 0)
  assert.equal(v4.readUInt16BE(6), 70_000 & 0xffff)
  const v6 = request(6, 1)
  assert.deepEqual([v6[0], v6.readUInt16BE(2)], [128, 0])
})

test('a reply tells which request it belongs to', () => {
  assert.deepEqual(readReply(reply(4, 70_000), 4, ours), { kind: 'reply', index: 70_000 })
  assert.deepEqual(readReply(reply(6, 3), 6, ours), { kind: 'reply', index: 3 })
})

test('what is not the answer is named', () => {
  const damage = (change: (bytes: Buffer) => void, family: Family = 4) => {
    const bytes = reply(family, 5)
    change(bytes)
    return readReply(bytes, family, ours).kind
  }
  assert.equal(
    damage((bytes) => bytes.writeUInt16BE(0x4321, 4)),
    'foreign',
    'the identifier of somebody else',
  )
  assert.equal(
    damage((bytes) => bytes.writeUInt8(8, 0)),
    'foreign',
    'a request',
  )
  assert.equal(
    damage((bytes) => bytes.writeUInt8(0, 0), 6),
    'foreign',
    'a reply of the other family',
  )
  assert.equal(
    damage((bytes) => bytes.writeUInt8(0, 9)),
    'forged',
    'another nonce',
  )
  assert.equal(
    damage((bytes) => bytes.writeUInt16BE(6, 6)),
    'forged',
    'a sequence number that is not the index',
  )
  for (const length of [8, 12, 16, 20, 63]) {
    assert.equal(readReply(reply(4, 5).subarray(0, length), 4, ours).kind, 'truncated', `${length} bytes`)
  }
  assert.equal(readReply(reply(4, 5).subarray(0, 7), 4, ours).kind, 'foreign')
})

test('an IP header is taken off, with its options, and a damaged one is not believed', () => {
  const header = (words: number, version = 4) =>
    Buffer.concat([Buffer.from([(version << 4) | words]), Buffer.alloc(59)])
  const packet = (words: number) => Buffer.concat([header(words).subarray(0, words * 4), reply(4, 1)])
  assert.deepEqual(withoutIpHeader(packet(5)), reply(4, 1))
  assert.deepEqual(withoutIpHeader(packet(15)), reply(4, 1))
  assert.equal(withoutIpHeader(header(4)), undefined)
  assert.equal(withoutIpHeader(header(5, 6)), undefined)
  assert.equal(withoutIpHeader(packet(5).subarray(0, 19)), undefined)
  assert.equal(withoutIpHeader(Buffer.alloc(0)), undefined)
})

test('a stamp finds its request behind any headers', () => {
  for (const headers of [0, 20, 34, 54, 100]) {
    assert.equal(indexIn(Buffer.concat([Buffer.alloc(headers, 7), request(4, 99)]), ours), 99)
  }
  assert.equal(indexIn(Buffer.alloc(200), ours), undefined)
  assert.equal(indexIn(request(4, 99).subarray(0, 19), ours), undefined)
})

test('an error tells whose packet it quotes, also when a router quotes eight bytes', () => {
  assert.deepEqual(quotedIndex(request(4, 70_000), 4, ours), { index: 70_000, whole: true })
  assert.deepEqual(quotedIndex(request(4, 70_000).subarray(0, 8), 4, ours), { index: 70_000 & 0xffff, whole: false })
  assert.equal(quotedIndex(request(4, 1), 4, { ...ours, ident: 1 }), undefined)
  assert.equal(quotedIndex(request(4, 1), 4, { ...ours, nonce: Buffer.alloc(8) }), undefined)
  assert.equal(quotedIndex(request(4, 1).subarray(0, 7), 4, ours), undefined)
})

test('a hundred thousand damaged packets are read without a failure', () => {
  const next = random(7)
  for (let i = 0; i < 100_000; i++) {
    const bytes = reply(next() < 0.5 ? 4 : 6, i)
    for (let hits = 0; hits < 4; hits++) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
    const cut = bytes.subarray(0, Math.floor(next() * (bytes.length + 1)))
    const inner = withoutIpHeader(cut)
    for (const family of [4, 6] as const) {
      readReply(cut, family, ours)
      if (inner) readReply(inner, family, ours)
      quotedIndex(cut, family, ours)
    }
    indexIn(cut, ours)
  }
})
