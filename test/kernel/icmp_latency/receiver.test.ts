// The receiver on a real kernel: what it holds goes with what it was held for.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container, Host } from '../../../receivers/host/host.ts'
import { hostSettings, startHost } from '../../../receivers/host/index.ts'
import icmpLatency from '../../../receivers/icmp_latency/index.ts'
import { atEnd } from '../../ending.ts'
import { started } from '../../receivers/fixture_host.ts'
import { listeningLog } from '../../receivers/quiet.ts'
import { requires } from '../../requires.ts'
import { until } from '../../until.ts'
import { inside, join, makeNamespace } from '../network.ts'

const needs = requires('root', 'addon')

/** The real host, for which a control group of ours is a container. */
async function startedHost(t: TestContext, path: string): Promise<Host> {
  const host = await startHost({
    log: listeningLog(),
    settings: hostSettings.parse({ docker: { endpoint: 'unix:///nowhere' } }),
  })
  atEnd(t, () => host.stop())
  return {
    ...host,
    attribution(cgroup) {
      if (cgroup.path !== path) return { state: 'none' }
      const container: Container = {
        containerId: path,
        appId: '',
        runtime: 'other',
        top: cgroup,
        resource: {},
        image: '',
      }
      return { state: 'container', container }
    },
  }
}

const threads = () =>
  readdirSync('/proc/self/task').map((task) => readFileSync(`/proc/self/task/${task}/comm`, 'latin1').trim())

const sockets = () =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`)
      return /^(socket|anon_inode:\[eventfd)/.test(link) ? [link] : []
    } catch {
      return [] // the descriptor of the listing itself
    }
  })

test('a namespace is not kept alive, and nothing is left after the stop', needs, async (t) => {
  const path = `/leadline-icmp-${process.pid}`
  const host = await startedHost(t, path)
  const socketsBefore = sockets()
  const receiver = await started(icmpLatency, host, icmpLatency.config.parse({ probe_interval: '100ms' }))
  const directory = joinPath(host.layout.root, path)
  mkdirSync(directory)
  const [ours, theirs] = [makeNamespace(t), makeNamespace(t)]
  join(ours, ['10.8.0.1/24'], theirs, ['10.8.0.2/24'])
  const child = ours.start('sleep', '600')
  const pid = await inside(ours, child)
  writeFileSync(joinPath(directory, 'cgroup.procs'), String(pid))
  const cgroup = await until('the host knows the cgroup', () => host.cgroupAt(path))
  await until('and the namespace', () => host.namespaces.has(ours.inode))
  host.peers.note(cgroup.id, ours.inode, '10.8.0.2')

  const key = `container.net.latency{destination_ip=10.8.0.2} ${path}`
  const seconds = await until('it is measured', async () => (await receiver.collect()).points.get(key))
  assert.ok(seconds > 0 && seconds < 0.01)
  assert.ok(threads().includes('echo'))

  // The name goes, the process goes: then a namespace ends, and with it the veth pair, unless somebody holds it.
  const device = () => theirs.run('ip', '-o', 'link', 'show').includes('veth')
  assert.ok(device())
  execFileSync('umount', [`/run/netns/${ours.name}`])
  child.kill('SIGKILL')
  await until('the cgroup can be removed', () => rmdirSync(directory) ?? true)
  await until('the kernel has ended the namespace', () => !device(), { deadlineMs: 3000 })
  const { points } = await receiver.collect()
  assert.equal(points.get(key), undefined, 'a latency that nobody measures any more is not told')

  await receiver.stop()
  assert.deepEqual(sockets(), socketsBefore)
  assert.ok(!threads().includes('echo'))
  await sleep(50)
})
