// The receiver over whole cgroup file systems: v2, v1 and hybrid hosts, as folders.
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import cgroup from '../../../receivers/cgroup/index.ts'
import { requires } from '../../requires.ts'
import { fixture, fixtureHost, started } from '../fixture_host.ts'

const POD = '/kubepods.slice/kubepods-pod4f1a.slice'
const SCOPE = `${POD}/cri-containerd-3c5e.scope`
const NGINX = '/system.slice/nginx.service'
const V1 = '/docker/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'

const files = {
  '/sys/devices/system/cpu/online': '0-3\n',
  '/proc/diskstats': '8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11\n',
}

const v2 = (cgroups = fixture('cgroup/v2')) =>
  fixtureHost({ cgroups, containers: [SCOPE], others: [`${SCOPE}/nested`, '/kubepods.slice', POD], files })

const v1 = (cgroups = fixture('cgroup/v1')) =>
  fixtureHost({ cgroups, containers: [V1], others: [`${V1}/inner`, '/docker'], files })

/** A copy that a test may change. */
function copyOf(t: TestContext, tree: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'leadline-cgroup-'))
  t.after(() => rmSync(copy, { recursive: true }))
  cpSync(fixture(`cgroup/${tree}`), copy, { recursive: true })
  return copy
}

const collectOnce = async (host: ReturnType<typeof v2>) => {
  const receiver = await started(cgroup, host, {})
  const collected = await receiver.collect()
  await receiver.stop()
  return collected
}

const about = (path: string, numbers: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(numbers).map(([metric, value]) => [`container.${metric} ${path}`, value]))

test(
  'a v2 host: use, pressure and disks of the top cgroup, and the smallest limits around it',
  requires('addon'),
  async () => {
    const { points, failures } = await collectOnce(v2())
    assert.deepEqual(failures, [])
    assert.deepEqual(
      Object.fromEntries(points),
      about(SCOPE, {
        'resources.cpu.usage': 5.123456,
        'resources.cpu.limit_cores': 1.5, // the pod's; its own is 2
        'resources.cpu.throttled': 3.05, // by the pod's quota; by its own 0.812345
        'resources.cpu.periods': 512,
        'resources.cpu.throttled_periods': 7,
        'resources.cpu.pressure.waiting{kind=some}': 1.234567,
        'resources.cpu.pressure.waiting{kind=full}': 0.234567,
        'resources.memory.pressure.waiting{kind=some}': 0.045678,
        'resources.memory.pressure.waiting{kind=full}': 0.04,
        'resources.io.pressure.waiting{kind=some}': 0.987654,
        'resources.io.pressure.waiting{kind=full}': 0.9,
        'resources.memory.limit': 536870912, // the pod's; it has none itself
        'resources.memory.rss': 31457280 + 20971520,
        'resources.memory.cache': 41943040,
        'resources.disk.reads{device=sda}': 192,
        'resources.disk.writes{device=sda}': 1,
        'resources.disk.read{device=sda}': 1456128,
        'resources.disk.written{device=sda}': 5120,
        'resources.disk.reads{device=nvme0n1}': 1,
        'resources.disk.writes{device=nvme0n1}': 2,
        'resources.disk.read{device=nvme0n1}': 4096,
        'resources.disk.written{device=nvme0n1}': 8192,
        'resources.pids': 27,
        oom_kills: 2, // one of them in a cgroup inside, which memory.events includes
      }),
    )
  },
)

test(
  'a controller that is not enabled leaves its metrics absent, and a CPU set below the online CPUs is a limit',
  requires('addon'),
  async () => {
    const { points, failures } = await collectOnce(
      fixtureHost({ cgroups: fixture('cgroup/v2'), containers: [NGINX], others: ['/system.slice'], files }),
    )
    assert.deepEqual(failures, [])
    assert.deepEqual(
      Object.fromEntries(points),
      about(NGINX, {
        'resources.cpu.usage': 0.077,
        'resources.cpu.limit_cores': 1,
        'resources.cpu.pressure.waiting{kind=some}': 0.0005,
        'resources.memory.pressure.waiting{kind=some}': 0,
        'resources.memory.pressure.waiting{kind=full}': 0,
        'resources.io.pressure.waiting{kind=some}': 0,
        'resources.io.pressure.waiting{kind=full}': 0,
      }),
    )
  },
)

test(
  'a v1 host: joint mounts, limits of the groups above, and what only single cgroups count',
  requires('addon'),
  async () => {
    const { points, failures } = await collectOnce(v1())
    assert.deepEqual(failures, [])
    assert.deepEqual(Object.fromEntries(points), {
      ...about(V1, {
        'resources.cpu.usage': 25.123456789,
        'resources.cpu.limit_cores': 0.8, // of /docker; it had a quota itself once, and its CPU set is 2 of 4
        'resources.cpu.throttled': 1.512345678,
        'resources.cpu.periods': 90,
        'resources.cpu.throttled_periods': 11,
        'resources.memory.limit': 268435456,
        'resources.memory.rss': 106496 + 573440,
        'resources.memory.cache': 1024000,
        'resources.disk.reads{device=sda}': 10,
        'resources.disk.writes{device=sda}': 2,
        'resources.disk.read{device=sda}': 1048576,
        'resources.disk.written{device=sda}': 4096,
        'resources.pids': 12,
        oom_kills: 3,
      }),
      ...about(`${V1}/inner`, {
        'resources.disk.reads{device=sda}': 1,
        'resources.disk.writes{device=sda}': 0,
        'resources.disk.read{device=sda}': 512,
        'resources.disk.written{device=sda}': 0,
        oom_kills: 4,
      }),
    })
  },
)

test('a hybrid host as it was captured: v1 controllers, and pressure from the v2 tree', requires('addon'), async () => {
  const tree = fixture('cgroup/hybrid-6.18')
  const id = readdirSync(join(tree, 'unified/docker')).find((name) => name.length === 64) ?? assert.fail()
  const path = `/docker/${id}`
  const { points, failures } = await collectOnce(
    fixtureHost({
      cgroups: tree,
      containers: [path],
      others: ['/docker'],
      files: {
        '/sys/devices/system/cpu/online': readFileSync(join(tree, 'online'), 'latin1'),
        '/proc/diskstats': readFileSync(join(tree, 'diskstats'), 'latin1'),
      },
    }),
  )
  assert.deepEqual(failures, [])
  assert.deepEqual(
    Object.fromEntries(points),
    about(path, {
      'resources.cpu.usage': 1.613696,
      'resources.cpu.limit_cores': 0.5,
      'resources.cpu.throttled': 0.493447649,
      'resources.cpu.periods': 37,
      'resources.cpu.throttled_periods': 28,
      'resources.cpu.pressure.waiting{kind=some}': 1.591048,
      'resources.cpu.pressure.waiting{kind=full}': 1.579183,
      'resources.memory.pressure.waiting{kind=some}': 0.007791,
      'resources.memory.pressure.waiting{kind=full}': 0.007791,
      'resources.io.pressure.waiting{kind=some}': 0.014469,
      'resources.io.pressure.waiting{kind=full}': 0.014469,
      'resources.memory.limit': 67108864,
      'resources.memory.rss': 73728,
      'resources.memory.cache': 77824,
      'resources.disk.reads{device=vda}': 36,
      'resources.disk.writes{device=vda}': 8,
      'resources.disk.read{device=vda}': 155648,
      'resources.disk.written{device=vda}': 8388608,
      'resources.pids': 1,
      oom_kills: 1,
    }),
  )
})

test('a container that ends between two reads is skipped, not an error', requires('addon'), async (t) => {
  const copy = copyOf(t, 'v2')
  const receiver = await started(cgroup, v2(copy), {})
  t.after(() => receiver.stop())
  assert.equal((await receiver.collect()).points.size, 24)
  rmSync(join(copy, SCOPE), { recursive: true })
  assert.deepEqual(await receiver.collect(), { points: new Map(), failures: [] })
})

test(
  'a file that cannot be understood is named with its first bytes, and the rest is kept',
  requires('addon'),
  async (t) => {
    const copy = copyOf(t, 'v2')
    writeFileSync(join(copy, SCOPE, 'pids.current'), 'a dozen\n')
    writeFileSync(join(copy, SCOPE, 'memory.stat'), `anon 4096\n${'x'.repeat(500)}\nfile_mapped 4096\n`)
    const { points, failures } = await collectOnce(v2(copy))
    assert.equal(failures.length, 2)
    assert.match(failures[0] ?? '', /memory\.stat/)
    assert.match(failures[0] ?? '', /cannot understand "x{40}" in .*fix: /)
    assert.match(failures[1] ?? '', /cannot understand "a dozen\\n" in .*pids\.current/)
    assert.equal(points.get(`container.resources.memory.rss ${SCOPE}`), 8192)
    assert.equal(points.get(`container.resources.pids ${SCOPE}`), undefined)
    assert.equal(points.get(`container.oom_kills ${SCOPE}`), 2)
  },
)

test('an unreadable kind of file is said once for all containers', requires('addon'), async (t) => {
  const copy = copyOf(t, 'v2')
  for (const path of [SCOPE, NGINX]) writeFileSync(join(copy, path, 'cpu.stat'), 'nonsense\n')
  const { failures } = await collectOnce(fixtureHost({ cgroups: copy, containers: [SCOPE, NGINX], files }))
  assert.equal(failures.length, 1)
  assert.match(failures[0] ?? '', /1 more of the same name/)
})

test('a file that comes late is found, and one that goes is absent', requires('addon'), async (t) => {
  const copy = copyOf(t, 'v2')
  const memory = join(copy, SCOPE, 'memory.stat')
  renameSync(memory, `${memory}.away`)
  const receiver = await started(cgroup, v2(copy), {})
  t.after(() => receiver.stop())
  const rss = async () => (await receiver.collect()).points.get(`container.resources.memory.rss ${SCOPE}`)
  assert.equal(await rss(), undefined)
  renameSync(`${memory}.away`, memory)
  assert.equal(await rss(), undefined) // it rests for one collection
  assert.equal(await rss(), 31457280 + 20971520)
  assert.equal(await rss(), 31457280 + 20971520) // now from the file that is kept open
})

test('limits that change are seen', requires('addon'), async (t) => {
  const copy = copyOf(t, 'v2')
  const receiver = await started(cgroup, v2(copy), {})
  t.after(() => receiver.stop())
  const limit = async () => (await receiver.collect()).points.get(`container.resources.cpu.limit_cores ${SCOPE}`)
  assert.equal(await limit(), 1.5)
  writeFileSync(join(copy, POD, 'cpu.max'), 'max 100000\n')
  assert.equal(await limit(), 2)
  writeFileSync(join(copy, SCOPE, 'cpu.max'), 'max 100000\n')
  assert.equal(await limit(), undefined)
  writeFileSync(join(copy, 'kubepods.slice/cpu.max'), '30000 100000\n')
  assert.equal(await limit(), 0.3)
})

test('nothing stays open after the stop', requires('addon'), async () => {
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  const receiver = await started(cgroup, v2(), {})
  await receiver.collect()
  await receiver.collect()
  assert.ok(open() > before)
  await receiver.stop()
  assert.equal(open(), before)
})
