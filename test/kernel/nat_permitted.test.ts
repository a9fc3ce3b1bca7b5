// Following translated connections with what the agent is permitted, from where it runs, and nothing left behind.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import type { Namespaces } from '../../receivers/host/namespaces.ts'
import { openNat } from '../../receivers/host/nat.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { said } from './following.ts'
import { inside, makeCgroupRoot, makeNamespace, startQuietHost } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

/** What a process without these capabilities answers, hears and says. */
function without(t: TestContext, ...capabilities: string[]): { states: string[]; hears: string; fixes: string[] } {
  const script = `
    import { startHost, hostSettings } from './receivers/host/index.ts'
    import { openNat } from './receivers/host/nat.ts'
    import { listeningLog } from './test/receivers/quiet.ts'
    const settings = hostSettings.parse({ cgroup_root: process.argv[1], docker: { endpoint: 'unix:///nowhere' } })
    const host = await startHost({ log: listeningLog(), settings })
    const log = listeningLog()
    const nat = openNat(host.namespaces, log)
    const address = Uint8Array.of(127, 0, 0, 1)
    const { initial: netns } = host.namespaces
    const connection = { source: address, sourcePort: 1, destination: address, destinationPort: 2, netns }
    const states = [1, 2, 3].flatMap(() => nat.resolve([connection])).map(({ state }) => state)
    console.log(JSON.stringify({ states, hears: nat.hears, fixes: log.said.map(({ fields }) => fields.fix) }))
    nat.stop()
    await host.stop()`
  const dropped = capabilities.map((name) => `-${name}`).join()
  const run = [process.execPath, '--input-type=module', '-e', script, '--', makeCgroupRoot(t)]
  const { stdout, stderr } = spawnSync('setpriv', [`--bounding-set=${dropped}`, `--inh-caps=${dropped}`, ...run], {
    encoding: 'utf8',
  })
  assert.equal(stderr, '')
  return JSON.parse(stdout)
}

test('without capabilities it says once which are missing, and answers that it does not know', needs, (t) => {
  assert.deepEqual(without(t, 'net_admin', 'net_broadcast', 'sys_admin'), {
    states: ['unknown', 'unknown', 'unknown'],
    hears: 'none',
    fixes: ['grant CAP_NET_ADMIN and CAP_NET_BROADCAST, or run as root'],
  })
})

test('without CAP_NET_BROADCAST only the namespace of the host is heard, and everything is answered', needs, (t) => {
  const { states, hears, fixes } = without(t, 'net_broadcast')
  assert.deepEqual(states, ['untracked', 'untracked', 'untracked'])
  assert.deepEqual([hears, fixes], ['host', ['grant CAP_NET_BROADCAST, or run as root']])
})

test('an agent in a network namespace of its own follows and hears what the host translates', needs, async (t) => {
  const agent = makeNamespace(t)
  const script = `
    import { startHost, hostSettings } from './receivers/host/index.ts'
    import { openNat } from './receivers/host/nat.ts'
    import { listeningLog } from './test/receivers/quiet.ts'
    const settings = hostSettings.parse({ cgroup_root: process.argv[1], docker: { endpoint: 'unix:///nowhere' } })
    const log = listeningLog()
    const host = await startHost({ log, settings })
    const { initial, own } = host.namespaces
    const nat = openNat(host.namespaces, log)
    const address = Uint8Array.of(192, 0, 2, 1)
    const tuple = { source: address, sourcePort: 1, destination: address, destinationPort: 2 }
    const states = nat.resolve([{ ...tuple, netns: own }, { ...tuple, netns: initial }]).map(({ state }) => state)
    const said = log.said.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message)
    console.log(JSON.stringify({ initial, own, hears: nat.hears, states, said }))
    nat.stop()
    await host.stop()`
  const run = [process.execPath, '--input-type=module', '-e', script, '--', makeCgroupRoot(t)]
  // nsenter and not ip-netns(8), which would hide the control groups.
  const { stdout, stderr } = spawnSync('nsenter', [`--net=/run/netns/${agent.name}`, ...run], { encoding: 'utf8' })
  assert.equal(stderr, '')
  const { initial, own, hears, states, said: warned } = JSON.parse(stdout)
  assert.deepEqual([own, `net:[${initial}]`], [agent.inode, readlinkSync('/proc/2/ns/net')])
  assert.deepEqual([hears, states], ['all', ['untracked', 'untracked']])
  assert.deepEqual(
    warned.filter((message: string) => !message.includes('control groups')),
    [],
  )
})

test('what is no tuple is not asked about, and somebody who only asks hears nothing', needs, async (t) => {
  const namespace = makeNamespace(t)
  const host = await startQuietHost(t)
  const namespaces: Namespaces = { ...host.namespaces, initial: namespace.inode }
  host.namespaces.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  const nat = openNat(namespaces, listeningLog(), { listen: false })
  atEnd(t, () => nat.stop())
  const [v4, v6] = [new Uint8Array(4), new Uint8Array(16).fill(1)]
  const resolved = [
    [v4, v6],
    [v6, v4],
    [new Uint8Array(), new Uint8Array()],
    [v4, v4],
    [v6, v6],
  ].map(([source, destination]) =>
    nat
      .resolve([
        {
          source: source ?? v4,
          sourcePort: 1,
          destination: destination ?? v4,
          destinationPort: 2,
          netns: namespace.inode,
        },
      ])
      .map(said),
  )
  assert.deepEqual(resolved.flat(), ['unknown', 'unknown', 'unknown', 'untracked', 'untracked'])
  assert.deepEqual([nat.hears, nat.heard()], ['none', { translations: [], lost: false }])
})

test('opened and stopped again and again, nothing stays open', needs, async (t) => {
  const namespace = makeNamespace(t)
  const host = await startQuietHost(t)
  host.namespaces.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  const tuple = { source: new Uint8Array(4), sourcePort: 1, destination: new Uint8Array(4), destinationPort: 2 }
  const round = () => {
    const nat = openNat(host.namespaces, listeningLog())
    nat.resolve([{ ...tuple, netns: namespace.inode }])
    nat.stop()
  }
  round()
  const held = () => ['fd', 'task'].map((what) => readdirSync(`/proc/self/${what}`).length)
  const before = held()
  for (let i = 0; i < 500; i++) round()
  assert.deepEqual(held(), before, 'descriptors and threads')
})
