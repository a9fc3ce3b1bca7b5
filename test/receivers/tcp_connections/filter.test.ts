// Which destinations keep their own name.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFilter, parseNetwork, portRange } from '../../../receivers/tcp_connections/filter.ts'

const none = { fold_networks: [], keep_networks: [], fold_public: false, fold_ports: '' }

test('by default every address is told apart', () => {
  const filter = createFilter(none)
  assert.equal(filter('10.0.0.1', 80), '10.0.0.1:80')
  assert.equal(filter('2001:db8::1', 443), '[2001:db8::1]:443')
})

test('networks, the internet and ports are folded, unless a network is to be kept', () => {
  const filter = createFilter({
    fold_networks: ['203.0.113.0/24', '2001:db8::/32'],
    keep_networks: ['198.51.100.0/24'],
    fold_public: true,
    fold_ports: '32768-60999',
  })
  assert.equal(filter('203.0.113.9', 443), '203.0.113.0/24:443')
  assert.equal(filter('2001:db8::9', 443), '2001:db8::/32:443')
  assert.equal(filter('8.8.8.8', 443), 'public:443')
  assert.equal(filter('2606:4700::1111', 443), 'public:443')
  assert.equal(filter('198.51.100.7', 40000), '198.51.100.7:40000')
  assert.equal(filter('10.0.0.1', 40000), 'other')
  for (const local of ['10.0.0.1', '172.20.1.1', '192.168.1.1', '100.64.0.1', '127.0.0.1', '169.254.169.254']) {
    assert.equal(filter(local, 80), `${local}:80`)
  }
  for (const local of ['::1', 'fd00::1', 'fe80::1']) assert.equal(filter(local, 80), `[${local}]:80`)
})

test('a network of all addresses of one family has none of the other', () => {
  const v6 = createFilter({ ...none, fold_networks: ['::/0'] })
  assert.equal(v6('10.0.0.1', 80), '10.0.0.1:80')
  assert.equal(v6('2001:db8::1', 80), '::/0:80')
  const v4 = createFilter({ ...none, fold_networks: ['0.0.0.0/0'] })
  assert.equal(v4('10.0.0.1', 80), '0.0.0.0/0:80')
  assert.equal(v4('2001:db8::1', 80), '[2001:db8::1]:80')
  const kept = createFilter({ ...none, fold_public: true, keep_networks: ['::/0'] })
  assert.equal(kept('8.8.8.8', 80), 'public:80')
})

test('what is no network or no range is told so', () => {
  assert.deepEqual(['10.0.0.0', '10.0.0.0/33', 'x/8', '2001:db8::/129', ''].map(parseNetwork), Array(5).fill(undefined))
  assert.deepEqual(parseNetwork('10.0.0.0/8'), { address: '10.0.0.0', prefix: 8, family: 'ipv4' })
  assert.deepEqual(portRange('1-2'), [1, 2])
})
