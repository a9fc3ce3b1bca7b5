// Network namespaces of real processes, against `ip netns`, `lsns` and what Docker did.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, fstatSync, mkdirSync, readlinkSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Host } from '../../receivers/host/host.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { inside, makeCgroupRoot, makeNamespace, startQuietHost } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

let count = 0

function makeCgroup(t: TestContext, { layout }: Host): { path: string; enter(pid: number): void } {
  const path = `/leadline-netns-${process.pid}-${++count}`
  const directory = join(layout.root, path)
  mkdirSync(directory)
  atEnd(t, () => until('the cgroup is empty and can be removed', () => rmdirSync(directory) ?? true))
  return { path, enter: (pid) => writeFileSync(join(directory, 'cgroup.procs'), String(pid)) }
}

const known = (host: Host) => [...host.namespaces.living()].map(({ netns }) => netns)

test("the host's namespace is that of the kernel's own threads, and is opened", needs, async (t) => {
  const { namespaces } = await startQuietHost(t)
  assert.equal(`net:[${namespaces.initial}]`, readlinkSync('/proc/2/ns/net'))
  assert.ok([...namespaces.living()].some(({ netns }) => netns === namespaces.initial))
  const fd = namespaces.open(namespaces.initial)
  assert.ok(fd !== undefined)
  assert.equal(fstatSync(fd).ino, namespaces.initial)
  closeSync(fd)
})

test('a namespace is known by a process that lives in it, from its cgroup, and forgotten with it', needs, async (t) => {
  const host = await startQuietHost(t)
  const namespace = makeNamespace(t)
  const cgroup = makeCgroup(t, host)
  const ended: number[] = []
  host.namespaces.onEnd((netns) => ended.push(netns))

  const child = namespace.start('sleep', '60')
  const pid = await inside(namespace, child)
  cgroup.enter(pid)
  await until('it is known without a refresh', () => known(host).includes(namespace.inode), { everyMs: 10 })
  const found = host.cgroupAt(cgroup.path)
  assert.ok(found)
  assert.equal(host.namespaces.of(found), namespace.inode)
  const pids = [...host.namespaces.living()].filter(({ netns }) => netns === namespace.inode).map(({ pid }) => pid)
  assert.deepEqual(pids, [pid])

  child.kill('SIGKILL')
  await until('it has ended', () => child.signalCode)
  await host.refresh(1000)
  assert.equal(known(host).includes(namespace.inode), false)
  assert.deepEqual(ended, [namespace.inode])
  assert.equal(host.namespaces.of(found), undefined)
  assert.equal(host.namespaces.open(namespace.inode), undefined)
})

test(
  'a process that enters its namespace after its cgroup, as runtimes have it, is seen in the new one',
  needs,
  async (t) => {
    const host = await startQuietHost(t)
    const namespace = makeNamespace(t)
    const cgroup = makeCgroup(t, host)
    const outside = makeNamespace(t)
    // The cgroup first, and a moment later the namespace.
    const child = outside.start('sh', '-c', `sleep 0.2; exec nsenter --net=/run/netns/${namespace.name} sleep 60`)
    cgroup.enter(await inside(outside, child))
    await until('it is seen in its first one', () => known(host).includes(outside.inode), { everyMs: 5 })
    await until('it is seen in its second one', () => known(host).includes(namespace.inode), { everyMs: 10 })
    const found = host.cgroupAt(cgroup.path)
    assert.ok(found)
    assert.equal(host.namespaces.of(found), namespace.inode)
    assert.equal(known(host).includes(outside.inode), false)
  },
)

test('nothing of ours keeps a namespace alive: its veth goes when its last process goes', needs, async (t) => {
  const host = await startQuietHost(t)
  const cgroup = makeCgroup(t, host)
  const child = execFileSync('sh', ['-c', 'unshare --net sleep 60 >/dev/null 2>&1 & echo $!'], { encoding: 'utf8' })
  const pid = Number(child)
  atEnd(t, () => {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {} // it has ended
  })
  const inode = await until('it has a namespace of its own', () => {
    const { ino } = statSync(`/proc/${pid}/ns/net`)
    return ino === host.namespaces.own ? 0 : ino
  })
  const device = `ll${process.pid}x`
  execFileSync('ip', ['link', 'add', device, 'type', 'veth', 'peer', 'name', 'inner', 'netns', String(pid)])
  cgroup.enter(pid)
  await until('it is known', () => known(host).includes(inode), { everyMs: 10 })
  const ino = host.namespaces.within(inode, (fd) => fd !== undefined && fstatSync(fd).ino)
  assert.equal(ino, inode)
  process.kill(pid, 'SIGKILL')
  await until('the kernel has freed the namespace, and with it the pair', () => {
    try {
      statSync(`/sys/class/net/${device}`)
      return false
    } catch {
      return true
    }
  })
})

test('two namespaces in one cgroup are both known', needs, async (t) => {
  const host = await startQuietHost(t)
  const cgroup = makeCgroup(t, host)
  const [first, second] = [makeNamespace(t), makeNamespace(t)]
  for (const namespace of [first, second]) cgroup.enter(await inside(namespace, namespace.start('sleep', '60')))
  await until('both are known', () => [first, second].every(({ inode }) => known(host).includes(inode)))
})

test('a container of Docker', requires('root', 'addon', 'docker'), async (t) => {
  const host = await startHost({ log: listeningLog(), settings: hostSettings.parse({}) })
  atEnd(t, () => host.stop())
  const docker = await startDocker(t, 'netns')
  const { id } = await docker.run('idle', { command: ['sleep', '60'] })
  const pid = await docker.docker('inspect', '--format', '{{.State.Pid}}', id)
  const { ino } = statSync(`/proc/${pid}/ns/net`)
  await until('its namespace is known', () => known(host).includes(ino), { everyMs: 10 })
  const cgroup = host.cgroupOf(Number(pid))
  assert.ok(cgroup)
  assert.equal(host.namespaces.of(cgroup), ino)
  const ended = new Promise((resolve) => host.namespaces.onEnd((netns) => netns === ino && resolve(netns)))
  await docker.docker('rm', '--force', id)
  assert.equal(await ended, ino)
})

test('what may not be read is said once with its remedy, and the namespace of the host stays', needs, async (t) => {
  const root = makeCgroupRoot(t)
  const namespace = makeNamespace(t)
  // Of another user, whom we may not look into without CAP_SYS_PTRACE.
  const child = namespace.start('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'sleep', '600')
  writeFileSync(join(root, 'cgroup.procs'), String(await inside(namespace, child)))
  await until('it is somebody else', () => statSync(`/proc/${child.pid}`).uid === 65_534)
  const script = `
    import { startHost, hostSettings } from './receivers/host/index.ts'
    import { listeningLog } from './test/receivers/quiet.ts'
    const log = listeningLog()
    const settings = hostSettings.parse({ cgroup_root: process.argv[1], docker: { endpoint: 'unix:///nowhere' } })
    const host = await startHost({ log, settings })
    await host.refresh(10)
    const { namespaces } = host
    const said = log.said.filter(({ message }) => message.includes('network namespace')).map(({ fields }) => fields.fix)
    const inode = namespaces.within(namespaces.initial, () => namespaces.initial)
    console.log(JSON.stringify({ said, living: [...namespaces.living()].length, inode, own: namespaces.own }))
    await host.stop()`
  const drop = ['--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace']
  const run = [process.execPath, '--input-type=module', '-e', script, '--', root]
  const { stdout, stderr } = spawnSync('setpriv', [...drop, ...run], { encoding: 'utf8' })
  assert.equal(stderr, '')
  const { said, living, inode, own } = JSON.parse(stdout)
  assert.deepEqual([living, inode], [1, own])
  assert.equal(said.filter((fix: string) => /^grant CAP_SYS_PTRACE, or run as root$/.test(fix)).length, 1, said)
})
