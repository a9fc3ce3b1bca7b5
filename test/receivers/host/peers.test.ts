// Who talks to whom: noted by one, read by another, forgotten in time, and bounded.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPeers } from '../../../receivers/host/peers.ts'

function given(most?: number) {
  let nowMs = 1000
  const peers = createPeers(() => nowMs, most)
  return {
    peers,
    wait: (ms: number) => (nowMs += ms),
    addresses: () => [...peers.living()].map((peer) => peer.address),
  }
}

test('equal addresses in two namespaces, and of two control groups, are different peers', () => {
  const { peers } = given()
  peers.note(1, 40, '10.0.0.1')
  peers.note(1, 41, '10.0.0.1')
  peers.note(2, 41, '10.0.0.1')
  assert.deepEqual(
    [...peers.living()].map(({ cgroup, netns }) => [cgroup, netns]),
    [
      [1, 40],
      [1, 41],
      [2, 41],
    ],
  )
})

test('what is noted again stays, what is not is forgotten after five minutes', () => {
  const { peers, wait, addresses } = given()
  peers.note(1, 40, '10.0.0.1')
  peers.note(1, 40, '10.0.0.2')
  wait(299_000)
  peers.note(1, 40, '10.0.0.2')
  assert.deepEqual(addresses(), ['10.0.0.1', '10.0.0.2'])
  wait(2000)
  assert.deepEqual(addresses(), ['10.0.0.2'])
})

test('the TCP round-trip time stays known until a newer one comes', () => {
  const { peers } = given()
  const time = () => [...peers.living()][0]?.tcpSeconds
  peers.note(1, 40, 'fd00::1')
  assert.equal(time(), undefined)
  peers.note(1, 40, 'fd00::1', 0.002)
  peers.note(1, 40, 'fd00::1')
  assert.equal(time(), 0.002)
  peers.note(1, 40, 'fd00::1', 0.001)
  assert.equal(time(), 0.001)
})

test('it is bounded, says what found no room, and has room again when others are forgotten', () => {
  const { peers, wait, addresses } = given(2)
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) peers.note(1, 40, address)
  assert.deepEqual(addresses(), ['10.0.0.1', '10.0.0.2'])
  assert.equal(peers.refused, 1)
  wait(301_000)
  peers.note(1, 40, '10.0.0.3')
  assert.deepEqual(addresses(), ['10.0.0.3'])
})

test('who provides is known until each has ended, and ends once', () => {
  const { peers } = given()
  assert.equal(peers.isProvided, false)
  const [first, second] = [peers.provide(), peers.provide()]
  first()
  first()
  assert.equal(peers.isProvided, true)
  second()
  assert.equal(peers.isProvided, false)
})
