// Who is asked and who is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAddressFilter, parseAddress, parseNetwork } from '../../../receivers/icmp_latency/addresses.ts'

const defaults = { public_addresses: false, allow: [], deny: [] }

function wanted(settings: Partial<Parameters<typeof createAddressFilter>[0]>, texts: readonly string[]): string[] {
  const isWanted = createAddressFilter({ ...defaults, ...settings })
  return texts.filter((text) => {
    const address = parseAddress(text)
    assert.ok(address, text)
    return isWanted(address)
  })
}

const OWN = ['10.1.2.3', '172.31.0.1', '192.168.1.1', '100.64.0.1', '169.254.20.10', 'fd00::1']
const PUBLIC = ['8.8.8.8', '172.32.0.1', '2606:4700::1111']
const NEVER = ['127.0.0.1', '::1', '0.0.0.0', '::', '224.0.0.1', '255.255.255.255', 'ff02::1', 'fe80::1', '0.1.2.3']

test('own networks are asked, public ones only when that is wanted', () => {
  assert.deepEqual(wanted({}, [...OWN, ...PUBLIC, ...NEVER]), OWN)
  assert.deepEqual(wanted({ public_addresses: true }, [...OWN, ...PUBLIC, ...NEVER]), [...OWN, ...PUBLIC])
})

test('with an allow list only what is in it is asked, and deny wins', () => {
  const lists = { allow: ['8.8.8.0/24', '10.0.0.0/8', '::/0'], deny: ['10.1.0.0/16', '2606:4700::1111'] }
  assert.deepEqual(
    wanted(lists, ['8.8.8.8', '8.8.4.4', '10.2.0.1', '10.1.2.3', 'fd00::1', '2606:4700::1111', '127.0.0.1']),
    ['8.8.8.8', '10.2.0.1', 'fd00::1'],
  )
})

test('addresses have one spelling, and IPv4 in IPv6 is IPv4', () => {
  assert.equal(parseAddress('FD00:0:0:0:0:0:0:1')?.text, 'fd00::1')
  assert.deepEqual([parseAddress('::ffff:10.0.0.1')?.text, parseAddress('::ffff:10.0.0.1')?.family], ['10.0.0.1', 4])
  for (const text of ['', '10.0.0', '10.0.0.256', 'example.com', 'fd00::1::2'])
    assert.equal(parseAddress(text), undefined)
})

test('what is no network is refused', () => {
  assert.deepEqual(parseNetwork('10.0.0.0/8'), { address: '10.0.0.0', family: 'ipv4', bits: 8 })
  assert.equal(parseNetwork('fd00::1')?.bits, 128)
  for (const text of ['', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'fd00::/129', 'fe80::1%eth0', 'net']) {
    assert.equal(parseNetwork(text), undefined, text)
  }
})
