// Every cgroup file's parser: what the kernel wrote, the kernel's quirks, and a million damaged files.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import {
  parseBlkio,
  parseCpuCount,
  parseCpuMax,
  parseFlatKeyed,
  parseIoStat,
  parseSingle,
} from '../../../receivers/cgroup/files.ts'
import { parseDiskstats } from '../../../receivers/diskstats.ts'
import { parsePressure } from '../../../receivers/pressure.ts'
import { fixture } from '../fixture_host.ts'

test('flat keyed files give every key, and a line that is not one is junk', () => {
  const { values, junk } = parseFlatKeyed('low 0\nmax 33\noom_kill 2\n')
  assert.deepEqual([...values], [['low', 0], ['max', 33], ['oom_kill', 2]]) // biome-ignore format: a table
  assert.equal(junk, undefined)
  assert.deepEqual(parseFlatKeyed(''), { values: new Map(), junk: undefined })
  assert.equal(parseFlatKeyed('anon 12\n<html>\n').junk, '<html>')
  assert.equal(parseFlatKeyed('anon 12\n<html>\n').values.get('anon'), 12)
  assert.equal(parseFlatKeyed('anon -5\n').junk, 'anon -5')
})

test('a number whose line has no end is not believed, because it may have been cut', () => {
  assert.deepEqual(parseFlatKeyed('anon 12\nfile 3456').values, new Map([['anon', 12]]))
  assert.equal(parseSingle('123'), undefined)
  assert.equal(parseCpuMax('50000 100000'), undefined)
  assert.equal(parsePressure('some avg10=0.00 avg60=0.00 avg300=0.00 total=12').someUs, undefined)
  assert.deepEqual(parseIoStat('8:0 rbytes=12 wbytes=3').values, new Map())
})

test('a counter that was decremented below zero is not a number of bytes', () => {
  assert.equal(parseSingle('18446744073709551615\n'), undefined)
  assert.equal(parseFlatKeyed('total_rss 18446744073709547520\n').values.get('total_rss'), undefined)
  assert.equal(parseSingle('9223372036854771712\n'), Number('9223372036854771712')) // v1's "no limit"
})

test('no limit is Infinity, in the words of both versions', () => {
  const limits: [string, number | undefined][] = [
    ['max\n', Number.POSITIVE_INFINITY],
    ['-1\n', Number.POSITIVE_INFINITY],
    ['0\n', 0],
    ['67108864\n', 67108864],
    ['-2\n', undefined],
    ['maximum\n', undefined],
    ['', undefined],
    ['1 2\n', undefined],
  ]
  for (const [text, limit] of limits) assert.equal(parseSingle(text), limit, JSON.stringify(text))
})

test('cpu.max is quota over period', () => {
  const limits: [string, number | undefined][] = [
    ['max 100000\n', Number.POSITIVE_INFINITY],
    ['50000 100000\n', 0.5],
    ['250000 100000\n', 2.5],
    ['50000 0\n', undefined],
    ['50000\n', undefined],
    ['50000 max\n', undefined],
    ['-1 100000\n', undefined],
    ['50000 100000 junk\n', undefined],
  ]
  for (const [text, cores] of limits) assert.equal(parseCpuMax(text), cores, JSON.stringify(text))
})

test('lists of CPUs are counted', () => {
  const lists: [string, number | undefined][] = [
    ['0-3\n', 4],
    ['2\n', 1],
    ['0-3,8,10-11\n', 7],
    ['\n', 0],
    ['', undefined],
    ['3-0\n', undefined],
    ['0-3,2\n', undefined],
    ['0-3,\n', undefined],
    ['a\n', undefined],
  ]
  for (const [text, cpus] of lists) assert.equal(parseCpuCount(text), cpus, JSON.stringify(text))
})

test('pressure has some and full, and cpu no full before 5.13', () => {
  const some = 'some avg10=0.00 avg60=0.12 avg300=1.05 total=123456\n'
  assert.deepEqual(parsePressure(some), { someUs: 123456, fullUs: undefined, junk: undefined })
  assert.equal(parsePressure(`${some}full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n`).fullUs, 7)
  assert.equal(parsePressure('some total=1\n').junk, 'some total=1')
  assert.deepEqual(parsePressure(''), { someUs: undefined, fullUs: undefined, junk: undefined })
})

test('io.stat is read by device in all the forms that kernels write', () => {
  const { values, junk } = parseIoStat(
    [
      '8:16 8:0 rbytes=1456128 wbytes=5120 rios=192 wios=1 dbytes=0 dios=0', // 8:16 has done nothing
      '259:0 rbytes=4096 wios=2 cost.usage=114 delay_nsec=0', // a field is missing, a policy has its own
      '(unknown) rbytes=5 wbytes=6 rios=7 wios=8',
      '253:3 ',
      '',
    ].join('\n'),
  )
  assert.deepEqual(values.get('8:0'), { readBytes: 1456128, writtenBytes: 5120, reads: 192, writes: 1 })
  assert.deepEqual(values.get('259:0'), { readBytes: 4096, writes: 2 })
  assert.deepEqual([...values.keys()], ['8:0', '259:0'])
  assert.equal(junk, undefined)
  assert.equal(parseIoStat('rbytes=1 wbytes=2\n').junk, 'rbytes=1 wbytes=2')
  assert.equal(parseIoStat('8:0 rbytes=many\n').junk, '8:0 rbytes=many')
})

test('blkio counts are read by device, and sums and discards are not reads or writes', () => {
  const text = '254:0 Read 8192\n254:0 Write 3\n254:0 Sync 5\n254:0 Discard 9\n254:0 Total 8195\nTotal 8195\n'
  assert.deepEqual(parseBlkio(text), { values: new Map([['254:0', { read: 8192, write: 3 }]]), junk: undefined })
  assert.deepEqual(parseBlkio('Total 0\n'), { values: new Map(), junk: undefined })
  assert.equal(parseBlkio('254:0 Read\n').junk, '254:0 Read')
})

test('disks have names and numbers, with 11, 15 or 17 fields', () => {
  const { disks, junk } = parseDiskstats(
    '   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n   8 1 sda1 1\n',
  )
  const numbers = { reads: 1, readSectors: 3, readMs: 4, writes: 5, writtenSectors: 7, writeMs: 8, ioMs: 10 }
  assert.deepEqual(disks, [
    { number: '8:0', name: 'sda', ...numbers },
    { number: '254:0', name: 'vda', ...numbers },
  ])
  assert.equal(junk, '   8 1 sda1 1')
})

/** Each parser's answer as a flat list of names and numbers. */
const parsers: Readonly<Record<string, (text: string) => [string, number | undefined][]>> = {
  flat: (text) => [...parseFlatKeyed(text).values],
  single: (text) => [['', parseSingle(text)]],
  cpuMax: (text) => [['', parseCpuMax(text)]],
  cpus: (text) => [['', parseCpuCount(text)]],
  pressure: (text) => [
    ['some', parsePressure(text).someUs],
    ['full', parsePressure(text).fullUs],
  ],
  io: (text) => devices(parseIoStat(text).values),
  blkio: (text) => devices(parseBlkio(text).values),
  disks: (text) =>
    parseDiskstats(text).disks.flatMap(({ number, name, ...numbers }) =>
      Object.entries(numbers).map(([key, value]): [string, number] => [`${number} ${name} ${key}`, value]),
    ),
}

const devices = (values: ReadonlyMap<string, object>) =>
  [...values].flatMap(([device, use]) => Object.entries(use).map(([key, n]): [string, number] => [device + key, n]))

const parserOf = (file: string): string => {
  if (/^(cpu\.stat|memory\.(stat|events|oom_control))/.test(file)) return 'flat'
  if (file.endsWith('.pressure')) return 'pressure'
  if (file.startsWith('blkio.')) return 'blkio'
  return (
    { 'io.stat': 'io', 'cpu.max': 'cpuMax', diskstats: 'disks' }[file] ?? (/cpus|online/.test(file) ? 'cpus' : 'single')
  )
}

const captured = readdirSync(fixture('cgroup'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !entry.name.startsWith('cgroup.'))
  .map((entry) => ({ name: basename(entry.name), text: readFileSync(join(entry.parentPath, entry.name), 'latin1') }))
  .filter(({ text }, i, all) => text !== '' && all.findIndex((other) => other.text === text) === i)

test('a file cut anywhere tells nothing that the whole file does not tell', () => {
  for (const { name, text } of captured) {
    const parse = parsers[parserOf(name)] ?? assert.fail(name)
    const whole = new Map(parse(text))
    assert.ok([...whole.values()].every((value) => value !== undefined) || whole.has('full'), `${name}: ${text}`)
    for (let length = 0; length < text.length; length++) {
      for (const [key, value] of parse(text.slice(0, length))) {
        // "0-3\n" and "0\n" are different lists, but no cut makes the one of the other: its line break is at the end.
        if (value !== undefined) assert.equal(value, whole.get(key), `${name} cut at ${length}, ${key}`)
      }
    }
  }
})

test('a million damaged files bring no exception and no number that is none', () => {
  let seed = 20261124
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const pieces = ['\n', ' ', '  ', '\t', '\0', '-', '=', ':', '8:0', 'max', '-1', '99999999999999999999999', '1e9', '0x1f', 'NaN', 'Ã', '__proto__ 1\n', 'total=', '', 'some '] // biome-ignore format: a list
  const short = captured.filter(({ text }) => text.length < 600)
  const names = Object.keys(parsers)
  for (let round = 0; round < 1_000_000; round++) {
    const { name, text } = short[random(short.length)] ?? assert.fail()
    let damaged = text
    for (let times = 1 + random(3); times > 0; times--) {
      const from = random(damaged.length + 1)
      const to = random(4) === 0 ? from + random(20) : from + random(2)
      damaged = damaged.slice(0, from) + pieces[random(pieces.length)] + damaged.slice(to)
    }
    // Mostly the parser that it was written for, now and then a stranger's file.
    const parse = parsers[random(8) === 0 ? (names[random(names.length)] ?? '') : parserOf(name)] ?? assert.fail(name)
    for (const [key, value] of parse(damaged)) {
      if (value === undefined || value >= 0) continue // Infinity is the absence of a limit
      assert.fail(`${JSON.stringify(damaged)} gave ${key}=${value}`)
    }
  }
})
