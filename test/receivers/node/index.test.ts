// The receiver over a captured machine, and over this one compared with what others say of it.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { totalmem, uptime } from 'node:os'
import { test } from 'node:test'
import node from '../../../receivers/node/index.ts'
import { fixture, fixtureHost, started } from '../fixture_host.ts'

const FILES = {
  '/proc/stat': 'stat',
  '/proc/meminfo': 'meminfo',
  '/proc/diskstats': 'diskstats',
  '/proc/1/net/dev': 'net_dev',
  '/proc/uptime': 'uptime',
  '/proc/pressure/cpu': 'pressure_cpu',
  '/proc/pressure/memory': 'pressure_memory',
  '/proc/pressure/io': 'pressure_io',
}

const captured = Object.fromEntries(
  Object.entries(FILES).map(([path, name]) => [path, readFileSync(fixture(`node/debian-12-6.18/${name}`), 'latin1')]),
)

const over = (files: Readonly<Record<string, string>>, cgroups = fixture('cgroup/hybrid-6.18')) =>
  fixtureHost({ cgroups, containers: [], files })

test('a captured machine', async () => {
  const receiver = await started(node, over(captured), {})
  const { points, failures } = await receiver.collect()
  assert.deepEqual(failures, [])
  const expected = {
    'node.info{hostname=fixture,kernel_version=6.1.0}': 1,
    'node.uptime': 10479.78,
    'node.resources.cpu.usage{mode=user}': 1731.41,
    'node.resources.cpu.usage{mode=nice}': 521.84,
    'node.resources.cpu.usage{mode=system}': 778.91,
    'node.resources.cpu.usage{mode=idle}': 17716.23,
    'node.resources.cpu.usage{mode=iowait}': 23.86,
    'node.resources.cpu.usage{mode=irq}': 0,
    'node.resources.cpu.usage{mode=softirq}': 11.45,
    'node.resources.cpu.usage{mode=steal}': 163.84,
    'node.resources.cpu.logical_cores': 2,
    'node.resources.memory.total': 24684096 * 1024,
    'node.resources.memory.free': 18756720 * 1024,
    'node.resources.memory.available': 23345548 * 1024,
    'node.resources.memory.cached': 4302828 * 1024,
    'node.resources.disk.reads{device=vda}': 358899,
    'node.resources.disk.writes{device=vda}': 63990,
    'node.resources.disk.read{device=vda}': 17527130 * 512,
    'node.resources.disk.written{device=vda}': 20180456 * 512,
    'node.resources.disk.read_time{device=vda}': 1046.243,
    'node.resources.disk.write_time{device=vda}': 129.288,
    'node.resources.disk.io_time{device=vda}': 63.888,
    'node.net.received{interface=eth0}': 1258231352,
    'node.net.transmitted{interface=eth0}': 4089772,
    'node.net.received_packets{interface=eth0}': 49533,
    'node.net.transmitted_packets{interface=eth0}': 31607,
    'node.resources.cpu.pressure.waiting{kind=some}': 741.612691,
  }
  for (const [name, value] of Object.entries(expected)) assert.equal(points.get(name), value, name)
  const others = [...points.keys()].filter((name) => !(name in expected))
  assert.deepEqual(
    others.filter((name) => !/^node\.resources\.((memory|io)\.pressure|cpu\.busy)/.test(name)),
    [],
  )
})

test('idle and iowait that go back by a tick are held, because a lower counter would be taken for a new one', async () => {
  const files: Record<string, string> = { ...captured }
  const receiver = await started(node, over(files), {})
  const iowait = async () => (await receiver.collect()).points.get('node.resources.cpu.usage{mode=iowait}')
  assert.equal(await iowait(), 23.86)
  files['/proc/stat'] = files['/proc/stat']?.replace(' 2386 ', ' 2385 ') ?? ''
  assert.equal(await iowait(), 23.86)
  files['/proc/stat'] = files['/proc/stat']?.replace(' 2385 ', ' 2390 ') ?? ''
  assert.equal(await iowait(), 23.9)
})

test('a file that cannot be understood is named and the rest is kept; what a kernel lacks is absent', async () => {
  const files = { ...captured, '/proc/meminfo': 'lorem ipsum\n', '/proc/schedstat': 'version 99\n' }
  const receiver = await started(node, over(files, fixture('cgroup/v2')), {})
  const { points, failures } = await receiver.collect()
  assert.equal(failures.length, 1)
  assert.match(failures[0] ?? '', /cannot understand \/proc\/meminfo, which begins with "lorem ipsum\\n" · fix: /)
  assert.equal(points.has('node.resources.cpu.busy'), false)
  assert.equal(points.get('node.uptime'), 10479.78)
})

test('this machine is what others say of it', async () => {
  const receiver = await started(node, over({}), {})
  const { points, failures } = await receiver.collect()
  assert.deepEqual(failures, [])
  assert.equal(points.get('node.resources.memory.total'), totalmem())
  assert.equal(
    points.get('node.resources.cpu.logical_cores'),
    Number(execFileSync('getconf', ['_NPROCESSORS_ONLN'], { encoding: 'utf8' })),
  )
  assert.ok(Math.abs((points.get('node.uptime') ?? 0) - uptime()) < 5)
  for (const [name, value] of points) {
    const device = /^node\.resources\.disk\.written\{device=(.*)\}$/.exec(name)?.[1]
    if (device === undefined) continue
    const sectors = Number(readFileSync(`/sys/block/${device}/stat`, 'latin1').trim().split(/\s+/)[6])
    assert.ok(value <= sectors * 512 && value >= sectors * 512 * 0.9, `${device}: ${value} of ${sectors * 512}`)
  }
})

const root = '/sys/fs/cgroup/cpuacct/cpuacct.usage'

test('busy counts what a process burned, as its own rusage has it', {
  skip: existsSync(root) ? false : 'needs v1 cpuacct',
}, async () => {
  const receiver = await started(node, over({}, '/sys/fs/cgroup'), {})
  const busy = async () => (await receiver.collect()).points.get('node.resources.cpu.busy') ?? Number.NaN
  const before = await busy()
  const burn =
    'const end = performance.now() + 500; while (performance.now() < end); const { userCPUTime: u, systemCPUTime: s } = process.resourceUsage(); console.log((u + s) / 1e6)'
  const child = spawn(process.execPath, ['-e', burn], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (text) => (said += text))
  await once(child, 'close')
  const passed = (await busy()) - before
  assert.ok(
    Number(said) > 0 && passed >= Number(said) * 0.99,
    `${passed} s busy, ${said.trim()} s burned by one of all`,
  )
})
