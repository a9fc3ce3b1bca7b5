// /proc/PID/stat and /proc/PID/cgroup as kernels write them, and as somebody who chose his own comm would have them.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { cgroupPath, parseStat, processCgroup, processStat } from '../../../receivers/host/process.ts'
import { until } from '../../until.ts'

const after = 'S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 10 11'

test('the start is field 22, whatever the program is called', () => {
  for (const comm of ['sh', 'a b', 'a) S 1 2', '((', ') ', 'new\nline', '']) {
    assert.deepEqual(parseStat(`42 (${comm}) ${after}`), { startTicks: 987654, exiting: false }, comm)
  }
  for (const wrong of ['', '42', '42 (sh)', '42 (sh) S 1 2', `42 (sh) ${after.replace('987654', 'x')}`]) {
    assert.equal(parseStat(wrong), undefined, wrong)
  }
})

test('a living process is told apart from those that had its pid before', () => {
  const own = processStat('/proc', process.pid)
  assert.equal(own?.exiting, false)
  const seconds = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) - (own?.startTicks ?? 0) / 100
  assert.ok(Math.abs(seconds - process.uptime()) < 5, `${seconds} s`)
  assert.equal(processStat('/proc', 4_194_305), undefined)
})

test('the path in a hierarchy is found by its controller, with all that may be in it', () => {
  const hybrid = `12:cpu,cpuacct:/docker/a:b:c
3:name=systemd:/system.slice/x.service
2:memory:/docker/memory
1:cpuset:/
0::/docker/ünified space`
  const rows: Readonly<Record<string, string | undefined>> = {
    cpu: '/docker/a:b:c',
    cpuacct: '/docker/a:b:c',
    'name=systemd': '/system.slice/x.service',
    memory: '/docker/memory',
    cpuset: '/',
    '': '/docker/ünified space',
    systemd: undefined,
    mem: undefined,
  }
  for (const [controller, expected] of Object.entries(rows)) assert.equal(cgroupPath(hybrid, controller), expected)
  assert.equal(cgroupPath('0::/a (deleted)\n', ''), '/a (deleted)')
  for (const wrong of ['', '\n', '0', ':', 'no colon at all']) assert.equal(cgroupPath(wrong, 'memory'), undefined)
})

test('the kernel’s own line of a real process is read', async () => {
  const child = spawn('sleep', ['30'])
  try {
    const text = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8')
    const line = text.split('\n').find((one) => one !== '') ?? ''
    const [, controllers = '', path] = line.split(':')
    assert.equal(processCgroup('/proc', child.pid ?? 0, controllers.split(',')[0] ?? ''), path)
  } finally {
    child.kill('SIGKILL')
  }
  assert.equal(processCgroup('/proc', 4_194_305, ''), undefined)
})

test('where a process was that has ended and is not reaped yet, no v1 hierarchy tells', async () => {
  // A shell would reap its child; what takes its place knows of none.
  const parent = spawn('sh', ['-c', 'sleep 30 & echo $!; exec sleep 30'], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const zombie = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)))
    await until('the shell is gone', () => readFileSync(`/proc/${parent.pid}/comm`, 'latin1') === 'sleep\n')
    process.kill(zombie)
    await until('it has ended', () => processStat('/proc', zombie)?.exiting)
    const hierarchies = readFileSync(`/proc/${zombie}/cgroup`, 'latin1').split('\n').filter(Boolean)
    for (const [, controllers = '', path] of hierarchies.map((line) => line.split(':'))) {
      const controller = controllers.split(',')[0] ?? ''
      if (controller !== '') assert.equal(path, '/', 'that is what the kernel says')
      assert.equal(processCgroup('/proc', zombie, controller), controller === '' ? path : undefined, controllers)
    }
    const inRoot = readFileSync(`/proc/${parent.pid}/cgroup`, 'latin1').match(/:([^:,\n]+)[^:\n]*:\/\n/)?.[1]
    if (inRoot) assert.equal(processCgroup('/proc', parent.pid ?? 0, inRoot), '/', 'a living one may be there')
  } finally {
    parent.kill('SIGKILL')
  }
})
