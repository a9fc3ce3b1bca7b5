// Mount tables of hosts with cgroup v1, v2 and both, and of agents in containers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupMounts, inTree, isPartOfTree, namespaceBase, readLayout } from '../../../receivers/host/layout.ts'
import { fixture } from '../fixture_host.ts'

const ROOT = '/sys/fs/cgroup'
let mounts = 30
const mount = (point: string, type: string, options = 'rw', root = '/') =>
  `${++mounts} 29 0:${mounts} ${root} ${point} rw,nosuid,nodev,noexec,relatime shared:${mounts} - ${type} ${type} ${options}\n`
const other = `29 1 0:25 / ${ROOT} ro,nosuid - tmpfs tmpfs ro,mode=755\n22 1 8:1 / / rw - ext4 /dev/sda1 rw\n`

const V2 = other.replace(/^.*tmpfs.*\n/, '') + mount(ROOT, 'cgroup2', 'rw,nsdelegate,memory_recursiveprot')
const V1 =
  other +
  mount(`${ROOT}/systemd`, 'cgroup', 'rw,xattr,release_agent=/lib/systemd/agent,name=systemd') +
  mount(`${ROOT}/cpu,cpuacct`, 'cgroup', 'rw,cpu,cpuacct') +
  mount(`${ROOT}/memory`, 'cgroup', 'rw,seclabel,memory') +
  mount(`${ROOT}/pids`, 'cgroup', 'rw,pids')
const HYBRID = V1 + mount(`${ROOT}/unified`, 'cgroup2', 'rw,nsdelegate')

const layoutOf = (mountinfo: string, root = ROOT) => {
  const { v1, ...rest } = readLayout(root, mountinfo)
  return { ...rest, v1: [...v1.keys()].sort() }
}
const controllers = ['cpu', 'cpuacct', 'memory', 'name=systemd', 'pids']

test('a host with the v2 tree alone', () => {
  assert.deepEqual(layoutOf(V2), { mode: 'v2', root: ROOT, canonicalController: '', v1: [] })
  const inside = V2 + mount(`${ROOT}/net_cls`, 'cgroup', 'rw,net_cls')
  assert.equal(layoutOf(inside).mode, 'v2', 'what a VPN client mounts inside it changes nothing')
})

test('a host with both', () => {
  const expected = { mode: 'hybrid', root: `${ROOT}/unified`, canonicalController: '', v1: controllers }
  assert.deepEqual(layoutOf(HYBRID), expected)
})

test('a host with v1 alone takes the hierarchy in which every container has a cgroup', () => {
  const expected = { mode: 'v1', root: `${ROOT}/memory`, canonicalController: 'memory', v1: controllers }
  assert.deepEqual(layoutOf(V1), expected)
  const without = V1.split('\n')
    .filter((line) => !line.includes('/memory '))
    .join('\n')
  assert.equal(layoutOf(without).canonicalController, 'pids')
})

test('only what is mounted at the asked place counts, and escaped names are read', () => {
  const host = V1.replaceAll(ROOT, '/host/sys/fs/cgroup') + V2
  assert.equal(layoutOf(host, '/host/sys/fs/cgroup').mode, 'v1')
  assert.equal(layoutOf(host).mode, 'v2')
  assert.equal(layoutOf(mount('/a\\040b/c', 'cgroup2'), '/a b').root, '/a b/c')
  assert.deepEqual(cgroupMounts(mount(`${ROOT}2/x`, 'cgroup2'), ROOT).v2, [], 'a name that only begins so')
})

test('damaged lines are none, and no control groups at all is an error with a remedy', () => {
  for (const text of ['', '\n\n', '1 2 3', ' - cgroup2', 'a - b - c', '\0'.repeat(99)]) {
    assert.throws(() => readLayout('/nowhere', text), /no control groups under \/nowhere · fix: mount them/)
  }
})

test('a captured tree, which no mount shows, is told by its files', () => {
  assert.equal(readLayout(fixture('cgroup/v2')).mode, 'v2')
  assert.equal(readLayout(fixture('cgroup/v1')).mode, 'v1')
  assert.equal(readLayout(fixture('cgroup/hybrid-6.18')).mode, 'hybrid')
})

test('this host is at the root of its tree, outside of namespaces', () => {
  const layout = readLayout(ROOT)
  assert.equal(isPartOfTree(layout), false)
  assert.equal(namespaceBase(layout), '')
  assert.equal(inTree('', '/docker/a'), '/docker/a')
  assert.equal(inTree('/docker/agent', '/'), '/docker/agent/')
  assert.equal(inTree('/docker/agent', '/../other'), '/docker/other')
})
