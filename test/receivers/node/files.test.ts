// The parsers of /proc: captured, in the forms of other kernels, and a million damaged files.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseMeminfo, parseNetDev, parseSchedstat, parseStat, parseUptime } from '../../../receivers/node/files.ts'
import { fixture } from '../fixture_host.ts'

const captured = (name: string) => readFileSync(fixture(`node/debian-12-6.18/${name}`), 'latin1')

test('CPU time is told by mode in seconds, guests not twice', () => {
  const { seconds, cpus } = parseStat(
    'cpu  100 200 300 400 500 600 700 800 50 60\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 2\n',
  )
  assert.deepEqual(Object.fromEntries(seconds), {
    user: 1,
    nice: 2,
    system: 3,
    idle: 4,
    iowait: 5,
    irq: 6,
    softirq: 7,
    steal: 8,
  })
  assert.equal(cpus, 2)
  assert.equal(parseStat('cpu  100 2').seconds.size, 0)
  assert.equal(parseStat('').seconds.size, 0)
})

// Documentation/scheduler/sched-stats.rst, version 15: "7) sum of all time spent running by tasks on this processor (in nanoseconds)".
test('the running time of /proc/schedstat is added up over CPUs, and only of versions that count nanoseconds', () => {
  const text =
    'version 15\ntimestamp 4297299139\ncpu0 0 0 0 0 0 0 1500000000 33 44\ndomain0 03 1 2 3\ncpu1 9 8 7 6 5 4 500000000 2 1\n'
  assert.equal(parseSchedstat(text), 2)
  assert.equal(parseSchedstat(text.replace('version 15', 'version 14')), undefined)
  assert.equal(parseSchedstat(text.replace('version 15', 'version 99')), undefined)
  assert.equal(parseSchedstat('version 15\ntimestamp 1\n'), undefined)
})

test('a kB of meminfo is 1024 bytes', () => {
  const bytes = parseMeminfo(captured('meminfo'))
  assert.equal(bytes.get('MemTotal'), 24_684_096 * 1024)
  assert.equal(bytes.get('Active(anon)'), 1684 * 1024)
  assert.equal(parseMeminfo('MemTotal:       24684096').size, 0)
})

test('uptime is the first number', () => {
  assert.equal(parseUptime('10479.78 17716.23\n'), 10479.78)
  for (const text of ['', '10479.78', '10479.78 17', 'a b\n']) assert.equal(parseUptime(text), undefined)
})

test('interfaces are read whatever their name and however narrow the columns', () => {
  const line = '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n'
  const interfaces = parseNetDev(`Inter-|\n face |bytes\n  eth0:${line}a:b: ${line}  cut: 1 2\n`)
  const traffic = { receivedBytes: 1, receivedPackets: 2, sentBytes: 9, sentPackets: 10 }
  assert.deepEqual([...interfaces], [['eth0', traffic], ['a:b', traffic]]) // biome-ignore format: a table
  assert.equal(parseNetDev(captured('net_dev')).get('eth0')?.receivedPackets, 49_533)
})

test('a million damaged files bring no exception and no number that is none', () => {
  let seed = 7
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const texts = [
    captured('stat').replace(/^intr.*\n/m, ''),
    captured('meminfo').slice(0, 300),
    captured('uptime'),
    captured('net_dev'),
    'version 15\ntimestamp 1\ncpu0 0 0 0 0 0 0 1500000000 33 44\n',
  ]
  const parsers: readonly ((text: string) => Iterable<number | undefined>)[] = [
    (text) => [...parseStat(text).seconds.values(), parseStat(text).cpus],
    (text) => parseMeminfo(text).values(),
    (text) => [parseUptime(text)],
    (text) => [...parseNetDev(text).values()].flatMap((traffic) => Object.values(traffic)),
    (text) => [parseSchedstat(text)],
  ]
  const pieces = ['\n', ' ', ':', '\0', '-1', 'cpu', '99999999999999999999999', '1e9', 'NaN', 'kB', '.', '']
  for (let round = 0; round < 1_000_000; round++) {
    const i = random(texts.length)
    let text = texts[i] ?? ''
    for (let times = 1 + random(2); times > 0; times--) {
      const from = random(text.length + 1)
      text = text.slice(0, from) + pieces[random(pieces.length)] + text.slice(from + random(5))
    }
    for (const value of parsers[i]?.(text) ?? []) {
      if (value !== undefined && !(value >= 0 && Number.isFinite(value)))
        assert.fail(`${JSON.stringify(text)}: ${value}`)
    }
  }
})
