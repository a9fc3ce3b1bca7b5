// Who asks for whom: peers become targets, each once for its namespace and address, and leave with those who talk to them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cgroup, Host } from '../../../receivers/host/host.ts'
import { createPeers } from '../../../receivers/host/peers.ts'
import { sent } from '../../../receivers/icmp_latency/target.ts'
import { createTargets } from '../../../receivers/icmp_latency/targets.ts'
import { fixtureHost } from '../fixture_host.ts'

const [FIRST, SECOND, NESTED, OUTSIDE] = [1000, 1001, 2001, 2000]
const [HERE, THERE] = [11, 22]

/** Two containers, one with a nested control group, and one control group that is in none; both namespaces are alive. */
function given({ most = 100, isWanted = (): boolean => true } = {}) {
  const base = fixtureHost({
    cgroups: '/sys/fs/cgroup',
    containers: ['/docker/first', '/docker/second'],
    others: ['/outside', '/docker/first/nested'],
  })
  let nowMs = 0
  const alive = new Set([HERE, THERE])
  const peers = createPeers(() => nowMs)
  const host: Host = { ...base, peers, namespaces: { ...base.namespaces, has: (netns) => alive.has(netns) } }
  const targets = createTargets({ host, isWanted, most, random: () => 0.5 })
  return {
    host,
    peers,
    alive,
    targets,
    wait: (ms: number) => {
      nowMs += ms
    },
    /** `netns address` → the paths of those who talk to it. */
    all: () =>
      Object.fromEntries(
        [...targets.all()].map(({ netns, address, viewers }) => [
          `${netns} ${address.text}`,
          [...viewers.keys()].map(({ path }) => path),
        ]),
      ),
    told: () =>
      [...targets.told()].map(
        ({ target, viewer, statistics }) => `${viewer.path} ${target.address.text} ${statistics.sent}`,
      ),
  }
}

test('an address is asked once for each namespace, however many talk to it, and a container is one with its parts', () => {
  const { peers, targets, all } = given()
  for (const cgroup of [FIRST, NESTED, SECOND]) peers.note(cgroup, HERE, '10.0.0.1')
  peers.note(FIRST, THERE, '10.0.0.1')
  peers.note(FIRST, HERE, 'fd00::1')
  targets.follow(0)
  assert.deepEqual(all(), {
    '11 10.0.0.1': ['/docker/first', '/docker/second'],
    '22 10.0.0.1': ['/docker/first'],
    '11 fd00::1': ['/docker/first'],
  })
  assert.equal(targets.size, 3)
})

test('what is in no container, not wanted, no address or in a dead namespace is not asked', () => {
  const { peers, targets } = given({ isWanted: () => false })
  peers.note(FIRST, HERE, '10.0.0.1')
  targets.follow(0)
  assert.equal(targets.size, 0)

  const others = given()
  others.peers.note(OUTSIDE, HERE, '10.0.0.1')
  others.peers.note(4711, HERE, '10.0.0.1')
  others.peers.note(FIRST, HERE, 'example.com')
  others.alive.delete(THERE)
  others.peers.note(FIRST, THERE, '10.0.0.1')
  others.targets.follow(0)
  assert.deepEqual(others.all(), {})
})

test('a new one is asked within half a second, at a time of its own', () => {
  const { peers, targets } = given()
  peers.note(FIRST, HERE, '10.0.0.1')
  targets.follow(1000)
  const [target] = targets.all()
  assert.equal(target?.dueMs, 1250)
  assert.ok(target.isNew)
})

test('beyond its bound it takes no more, and counts', () => {
  const { peers, targets } = given({ most: 2 })
  for (const last of [1, 2, 3, 4]) peers.note(FIRST, HERE, `10.0.0.${last}`)
  targets.follow(0)
  assert.deepEqual([targets.size, targets.refused], [2, 2])
})

test('whoever talks no more is told once more, with what was counted; others go on with their own', () => {
  const { peers, targets, told, wait } = given()
  peers.note(FIRST, HERE, '10.0.0.1')
  targets.follow(0)
  for (const target of targets.all()) sent(target)
  wait(200_000)
  peers.note(SECOND, HERE, '10.0.0.1')
  targets.follow(0)
  for (const target of targets.all()) sent(target)
  assert.deepEqual(told(), ['/docker/first 10.0.0.1 2', '/docker/second 10.0.0.1 1'])
  wait(200_000) // since the first was seen: forgotten by now
  targets.follow(0)
  assert.deepEqual(told(), ['/docker/second 10.0.0.1 1', '/docker/first 10.0.0.1 2'])
  assert.deepEqual(told(), ['/docker/second 10.0.0.1 1'])
  wait(200_000)
  targets.follow(0)
  assert.deepEqual(told(), ['/docker/second 10.0.0.1 1'])
  assert.deepEqual([told(), targets.size], [[], 0])
})

test('with a namespace go its targets, and with a container its part in them', () => {
  const { host, peers, targets, all } = given()
  peers.note(FIRST, HERE, '10.0.0.1')
  peers.note(SECOND, HERE, '10.0.0.1')
  peers.note(SECOND, THERE, '10.0.0.2')
  targets.follow(0)
  targets.end(THERE)
  assert.equal(targets.size, 1)
  const second = host.cgroup(SECOND) as Cgroup
  second.endedMs = 1
  targets.follow(0)
  assert.deepEqual(all(), { '11 10.0.0.1': ['/docker/first'] })
})

test("TCP's own round-trip time goes with it", () => {
  const { peers, targets } = given()
  peers.note(FIRST, HERE, '10.0.0.1', 0.0025)
  targets.follow(0)
  assert.equal([...targets.all()][0]?.tcpSeconds, 0.0025)
})
