// IP addresses between bytes and text. Node's own parser and formatter (of URL and net) are the second opinion.
import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import {
  addressBytes,
  addressText,
  endpointText,
  isLoopback,
  isUnspecified,
  sameAddress,
  unmapped,
} from '../../../receivers/host/address.ts'

const bytes = (text: string) => addressBytes(text) ?? assert.fail(`${text} is an address`)

for (const [text, written] of [
  ['10.0.0.1', '10.0.0.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['0:0:1:0:0:0:1:0', '0:0:1::1:0'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
] as const) {
  test(`${text} is written ${written}`, () => assert.equal(addressText(bytes(text)), written))
}

test('what is no address has no bytes, as Node sees it too', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.4.5',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::1::',
    '12345::',
    'g::',
    ':1',
    '1:',
    '1.2.3.4::',
    '::1.2.3.4:5',
    'localhost',
  ]) {
    assert.equal(isIP(text), 0, text)
    assert.equal(addressBytes(text), undefined, text)
  }
})

test('random addresses come back from text, and are written as URLs write them', () => {
  for (let round = 0; round < 20_000; round++) {
    const length = round % 2 === 0 ? 4 : 16
    // Zeros often, because they are what is shortened.
    const address = Uint8Array.from({ length }, () => (Math.random() < 0.6 ? 0 : Math.floor(Math.random() * 256)))
    const text = addressText(address)
    assert.ok(sameAddress(bytes(text), unmapped(address)), text)
    const { hostname } = new URL(`http://${text.includes(':') ? `[${text}]` : text}/`)
    assert.equal(hostname.replace(/[[\]]/g, ''), text)
  }
})

test('an endpoint has its port behind it, and IPv6 in brackets', () => {
  assert.equal(endpointText(bytes('10.0.0.1'), 80), '10.0.0.1:80')
  assert.equal(endpointText(bytes('fd00::1'), 443), '[fd00::1]:443')
  assert.equal(endpointText(Buffer.from('00000000000000000000ffff0a000001', 'hex'), 80), '10.0.0.1:80')
})

test('loopback and unspecified, in both families', () => {
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'].map(bytes).map(isLoopback), [
    true,
    true,
    true,
    true,
  ])
  assert.deepEqual(['128.0.0.1', '::', '::2', '1::1'].map(bytes).map(isLoopback), [false, false, false, false])
  assert.deepEqual(['0.0.0.0', '::', '0.0.0.1', '::1'].map(bytes).map(isUnspecified), [true, true, false, false])
  assert.equal(isUnspecified(new Uint8Array()), false)
  assert.equal(addressText(Uint8Array.of(1, 2, 3)), '')
})
