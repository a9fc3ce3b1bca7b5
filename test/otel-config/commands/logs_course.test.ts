// The course over time: the same bars whichever file is read first, and nothing where nobody knows when it was.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCourse } from '../../../otel-config/commands/logs_course.ts'
import { folder, leadline } from './given.ts'

const HOUR_MS = 3_600_000
const NOON_MS = Date.UTC(2024, 4, 2, 12)
const FULL = '█'

/** Messages of each file, one entry for all; a number is its time. */
function courseOf(files: readonly (readonly number[])[]): string {
  const course = createCourse()
  for (const times of files) {
    const stream = course.stream()
    for (const ms of times) {
      stream.noteTime(ms)
      stream.add(7)
    }
  }
  return course.line(7)
}

const hours = (from: number, to: number) =>
  Array.from({ length: (to - from) * 60 }, (_, minute) => NOON_MS + from * HOUR_MS + minute * 60_000)

test('a later file with earlier times has its place to the left', () => {
  const steady = courseOf([hours(0, 16)])
  assert.match(steady, /^[▄▅▆▇█]{8,16} *$/)
  // Three hours, a gap of ten, three hours.
  const inOrder = courseOf([hours(0, 3), hours(13, 16)])
  assert.match(inOrder, /^[▁▂▃▄▅▆▇█]{2,4} {6,11}[▁▂▃▄▅▆▇█]{2,4} *$/)
  assert.match(courseOf([hours(13, 16), hours(0, 3)]), /^[▁▂▃▄▅▆▇█]{2,4} {6,11}[▁▂▃▄▅▆▇█]{2,4} *$/)
  assert.match(courseOf([hours(6, 16), hours(0, 6)]), /^[▄▅▆▇█]{8,16} *$/)
  assert.match(courseOf([hours(0, 16).reverse()]), /^[▄▅▆▇█]{8,16} *$/)
})

test('however the times jump, each message is in the bar of its time', () => {
  // Numbers as random that are the same in every run.
  let seed = 1
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed / 2 ** 32
  }
  for (let round = 0; round < 200; round++) {
    const spanMs = 10 ** (5 + random() * 7)
    const times = Array.from({ length: 50 }, () => NOON_MS + Math.floor(random() * spanMs))
    const course = createCourse()
    for (const [entry, ms] of times.entries()) {
      const stream = course.stream()
      stream.noteTime(ms)
      stream.add(entry)
    }
    const first = Math.min(...times)
    const last = Math.max(...times)
    for (const [entry, ms] of times.entries()) {
      const bar = course.line(entry).indexOf(FULL)
      const expected = ((ms - first) / (last - first)) * 16
      assert.ok(bar >= 0 && Math.abs(bar + 0.5 - expected) <= 1.5, `${round}: ${bar} instead of ${expected}`)
      assert.equal(course.line(entry).trim(), FULL)
    }
  }
})

test('a message without a time counts for the time before it in its own file, and before the first for that', () => {
  const course = createCourse()
  const early = course.stream()
  const late = course.stream()
  early.noteTime(Number.NaN)
  early.add(1)
  for (const [stream, ms] of [
    [early, NOON_MS],
    [late, NOON_MS + 16 * HOUR_MS],
  ] as const) {
    stream.noteTime(ms)
    stream.add(0)
  }
  for (const [stream, entry] of [
    [early, 2],
    [late, 3],
  ] as const) {
    stream.noteTime(Number.NaN)
    stream.add(entry)
  }
  assert.equal(course.line(1).trimEnd(), FULL)
  assert.equal(course.line(2).trimEnd(), FULL)
  assert.match(course.line(3), /^ {7,15}█ *$/)
})

test('without any time it is message by message; a file that alone has none is in no course', () => {
  const none = Array.from({ length: 64 }, () => Number.NaN)
  assert.equal(courseOf([none.slice(32), none.slice(32)]), FULL.repeat(16))
  const course = createCourse()
  const add = (entry: number, times: readonly number[]) => {
    const stream = course.stream()
    for (const ms of times) {
      stream.noteTime(ms)
      stream.add(entry)
    }
  }
  add(1, none)
  add(2, hours(0, 16))
  add(3, none)
  assert.equal(course.line(1), ' '.repeat(16))
  assert.match(course.line(2), /^[▄▅▆▇█]{8,16} *$/)
  assert.equal(course.line(3), ' '.repeat(16))
})

test('leadline logs: files in any order give the same course, also with --format', (context) => {
  const write = folder(context)
  const lines = (what: string, times: readonly number[]) =>
    times.map((ms) => `${new Date(ms).toISOString()} ERROR ${what}\n`).join('')
  const older = write('app.log.1', `without a time of its own\n${lines('cannot reach it', hours(0, 8))}`)
  const newer = write('app.log', lines('cannot reach it', hours(8, 16)))
  const none = write('notes', 'nobody knows when\n')
  for (const files of [
    [older, newer, none],
    [none, newer, older],
    [newer, none, older],
  ]) {
    for (const format of ['auto', 'plain']) {
      const { stdout } = leadline(['logs', '--format', format, ...files])
      assert.match(stdout, /960 {2}error {5}[▄▅▆▇█]{8,16} +cannot reach it\n/)
      assert.match(stdout, /1 {2}unknown {3}█ {17}without a time of its own\n/)
      assert.match(stdout, /1 {2}unknown {21}nobody knows when\n/)
    }
  }
  const { stdout } = leadline(['logs', '--json', newer, none, older])
  const { patterns } = JSON.parse(stdout) as { patterns: { first: string | null; last: string | null }[] }
  assert.deepEqual(
    patterns.map(({ first, last }) => [first, last]),
    [
      ['2024-05-02T12:00:00.000Z', '2024-05-03T03:59:00.000Z'],
      [null, null],
      [null, null],
    ],
  )
})
