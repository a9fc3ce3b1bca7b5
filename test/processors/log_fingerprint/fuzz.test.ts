// Lines that nobody would write: mutated, cut, spliced, not even UTF-8. Nothing crashes, nothing is lost, no line takes
// long. By hand, for longer: LEADLINE_FUZZ_LINES=10000000 node --test test/processors/log_fingerprint/fuzz.test.ts
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { contentTemplate, createReader } from '../../../processors/log_fingerprint/engine.ts'
import { forgetBeginnings } from '../../../processors/log_fingerprint/recall.ts'
import { forgetRepeats } from '../../../processors/log_fingerprint/repeats.ts'
import { sampleOf } from '../../../processors/log_fingerprint/sample.ts'
import { random } from '../given.ts'
import { cases } from './given.ts'

const LINES = Number(process.env.LEADLINE_FUZZ_LINES ?? 200_000)
const CHUNK_LINES = 500

const seeds = cases(readFileSync(new URL('kinds.txt', import.meta.url), 'utf8'))
  .flatMap(({ log }) => log.split('\n'))
  .map((line) => Buffer.from(line))
const PIECES = [
  '"',
  "'",
  '{',
  '}',
  '[',
  ']',
  '(',
  '<',
  '=',
  ':',
  '\\',
  '\\u00',
  '\x1b[31m',
  '\x1b',
  '\0',
  '\r',
  '\t',
  ' ',
  '..',
  '--',
  '|',
  '/',
  '://',
  '2024-05-02 11:20:31 ',
  '<13>',
  'ERROR',
  '{"a":',
  'k=v ',
  '\xff\xfe',
  '\xc3',
]

function mutated(next: () => number): Buffer {
  const pick = () => seeds[Math.floor(next() * seeds.length)] as Buffer
  let line = Buffer.from(pick())
  for (let changes = Math.floor(next() * 4); changes >= 0; changes--) {
    const at = Math.floor(next() * (line.length + 1))
    switch (Math.floor(next() * 6)) {
      case 0:
        line = line.subarray(0, at)
        break
      case 1:
        line = Buffer.concat([
          line.subarray(0, at),
          Buffer.from(PIECES[Math.floor(next() * PIECES.length)] ?? '', 'latin1'),
          line.subarray(at),
        ])
        break
      case 2:
        if (at < line.length) line[at] = Math.floor(next() * 256)
        break
      case 3:
        line = Buffer.concat([line.subarray(0, at), pick().subarray(Math.floor(next() * 40))])
        break
      case 4:
        line = line.subarray(at)
        break
      default:
        line = Buffer.concat([line.subarray(0, at), line.subarray(Math.max(0, at - 20), at), line.subarray(at)])
    }
  }
  for (let at = line.indexOf(10); at >= 0; at = line.indexOf(10, at)) line[at] = 32
  return line
}

test(`${LINES} mutated lines: every line is in exactly one message`, () => {
  const next = random(20240502)
  let messages = 0
  let lines = 0
  let covered = 0
  let read = 0
  let longestMs = 0
  const reader = createReader({
    keepBytes: 2048,
    readsTime: true,
    onText: () => {
      if (messages % 97 === 0) contentTemplate()
    },
    onMessage(message) {
      messages++
      assert.ok(message.firstLine > covered, 'messages follow each other')
      covered = message.firstLine + message.lines - 1
      if (messages % 97 === 0) sampleOf(message, 256, false)
    },
  })
  while (lines < LINES) {
    const pieces: Buffer[] = []
    for (let i = 0; i < CHUNK_LINES; i++) pieces.push(mutated(next), LINE_END)
    lines += CHUNK_LINES
    const bytes = Buffer.concat(pieces)
    const startMs = performance.now()
    read += reader.read(bytes)
    longestMs = Math.max(longestMs, performance.now() - startMs)
  }
  reader.flush()
  assert.equal(read, lines)
  assert.ok(covered <= lines && messages > lines / 20)
  assert.ok(longestMs < 5000, `${CHUNK_LINES} lines took ${longestMs} ms`)
})

const LINE_END = Buffer.from('\n')

test('what was read before changes nothing of a line, however odd', () => {
  const next = random(7)
  const lines = Array.from({ length: 20_000 }, () => mutated(next)).filter((line) => (line[0] ?? 0) > 32)
  const read = (order: readonly Buffer[]) =>
    order.map((line) => {
      let found = ''
      const onMessage = ({ high, low, level }: { high: number; low: number; level: number }) => {
        found = `${high} ${low} ${level}`
      }
      const reader = createReader({ keepBytes: 0, onMessage })
      reader.read(line)
      reader.flush()
      return found
    })
  const forwards = read(lines)
  assert.deepEqual(read(lines.toReversed()).toReversed(), forwards)
  const byBegin = lines.map((_, i) => i).sort((a, b) => Buffer.compare(lines[a] as Buffer, lines[b] as Buffer))
  const sorted = read(byBegin.map((i) => lines[i] as Buffer))
  for (const [at, i] of byBegin.entries()) assert.equal(sorted[at], forwards[i], String(lines[i]))
})

const GROUPS = Math.ceil(LINES / 1000)
const HEADS = [
  '2024-05-02 11:20:31 INFO ',
  '2024-05-02 11:20:31,123 ERROR [main] ',
  '2024-05-02T11:20:31Z WARN app[12]: ',
  'May  2 11:20:31 host-1 app[77]: ',
  '2024-05-02 11:20:31 ',
  '1:M 02 May 2024 11:20:31.105 ',
]
/** What reading looks at, beside numbers. */
const ODD_PIECES = [...'07afzAG./_@=:"\'()[]{}<>|,;\\%+#*`', '..', '--', ' ', ' - ', '::', '://', '5a', 'a5', ' 5 ms ']
  .concat([
    ' "GET /a HTTP/1.1" 200 ',
    ' k=5 level=3 ',
    ' {"level":5} ',
    ' debug1: ',
    ' debug7: ',
    ' 2m11s ',
    ' 5.ERROR: ',
  ])
  .concat([' a1:b2:c3:cafe:5g:d4 ', ' user x5 ', ' for a5 from ', '=true ', "`a5'"])
const LONG_PIECES = [
  `(${'x5 '.repeat(60)}) end`,
  `"${'x5 '.repeat(90)}" end`,
  `[${'5'.repeat(190)}] end`,
  `<${'55 '.repeat(62)}> 'a`,
]

/** Alike, but for what the number or the word with a number is. */
const SIBLINGS = [
  ['debug1: on', 'debug7: on', 'debug12: on'],
  ['"GET /a HTTP/1.1" 200 5', '"GET /a HTTP/1.1" 500 5', '"GET /a HTTP/1.1" 5000 5'],
  ['{"msg":"a","level":10}', '{"msg":"a","level":50}'],
  ['msg=a level=3 n=1', 'msg=a level=7 n=1'],
  ['from 5b:5b:cafe:5b up', 'from 5g:5g:cafe:5g up', 'from 5-:5-:cafe:5- up', 'from 5.5:5.5:cafe:5.5 up'],
  ['part a..5b of it', 'part a.5b of it', 'part a...5b of it', 'part a-5b of it'],
  ['part 5..b of it', 'part 5.b of it', 'part 5...b of it'],
  ['it took=5 ms in all', 'it took=5a ms in all', 'it took=a5 ms in all', 'it took=5a5 ms in all'],
  ['2m11s INFO a', '2222222m11s INFO a', '5.ERROR: a', '55 ERROR: a', '5a5 ERROR: a'],
  ['A5.b', 'a5.b', '5a.b', '5', 'a5'],
  ['x5: text', '5: text', '5x: text', 'x5 text'],
  ['a5 [1] text', 'a.5 [1] text', '5 [1] text', '5| text', '5x| text'],
  ['key5=1', `${'5'.repeat(40)}=1 b=2 msg=a`, `k${'5'.repeat(40)}=1 b=2 msg=a`, 'k5=1 b=2 msg=a'],
]

test('lines that differ only in numbers and ids are read as if each stood alone', () => {
  const next = random(11)
  const pick = (from: string | readonly string[]) => from[Math.floor(next() * from.length)] ?? ''
  const ofLength = (from: string) => Array.from({ length: 1 + Math.floor(next() * 9) }, () => pick(from)).join('')
  const inserted = (line: string) => {
    const at = Math.floor(next() * (line.length + 1))
    return line.slice(0, at) + pick(ODD_PIECES) + line.slice(at)
  }
  const lines = HEADS.flatMap((head) => SIBLINGS.flatMap((texts) => [...texts, ...texts].map((text) => head + text)))
  for (let group = 0; group < GROUPS; group++) {
    const head = pick(HEADS)
    let text = (seeds[Math.floor(next() * seeds.length)] ?? '').toString('latin1').slice(next() * 50)
    for (let pieces = Math.floor(next() * 6); pieces > 0; pieces--) text = inserted(text)
    if (group % 4 === 0) text = `${text} ${pick(LONG_PIECES)}`
    for (let i = 0; i < 40; i++) {
      let line = text
      if (i % 3 === 1) line = line.replaceAll(/\d+/g, () => ofLength('0123456789'))
      if (i % 3 === 2)
        line = line.replaceAll(/[\w.-]*\d[\w.-]*/g, () => `${ofLength('0123456789abfgzAZ.-_')}${pick('05')}`)
      if (i % 8 === 7) line = inserted(line)
      lines.push(head + line)
    }
  }
  const readAll = (isAlone: boolean) =>
    lines.map((line) => {
      let found = ''
      const reader = createReader({
        keepBytes: 0,
        onMessage({ high, low, level, isTimed }) {
          found = `${high} ${low} ${level} ${isTimed} ${pattern}`
        },
        onText() {
          pattern = contentTemplate()
        },
      })
      let pattern = ''
      if (isAlone) forgetBeginnings()
      if (isAlone) forgetRepeats()
      reader.read(Buffer.from(line, 'latin1'))
      reader.flush()
      return found
    })
  const together = readAll(false)
  const alone = readAll(true)
  for (const [at, line] of lines.entries()) assert.equal(together[at], alone[at], line)
})

test('a line of a megabyte takes no longer than its length explains', () => {
  const shapes = [
    'a',
    '"',
    "'",
    '`',
    '"a ',
    '{"',
    '[',
    '(',
    '<',
    '=',
    'k=',
    'k="',
    ':',
    'a:',
    'a.',
    '1:',
    '2024-05-02 ',
    '\x1b[',
    '\\',
    'Jan 1 ',
    'ERROR ',
    'a b ',
    '==',
    'at a(',
    '\xff',
    '0:0:',
    'for a from ',
    '{"a":',
    '{"msg":"\\u0041',
  ]
  for (const shape of shapes) {
    const line = Buffer.from(`${shape.repeat(Math.ceil((1 << 20) / shape.length))}\n`, 'latin1')
    const startMs = performance.now()
    for (const start of ['', '2024-05-02 11:20:31 ', '{"msg":"', 'level=info msg="', '"GET ']) {
      const reader = createReader({ keepBytes: 1024, onMessage: (message) => sampleOf(message, 512, false) })
      reader.read(Buffer.concat([Buffer.from(start), line]))
      reader.flush()
    }
    // Quadratic would be minutes.
    assert.ok(performance.now() - startMs < 5000, `${JSON.stringify(shape)}: ${performance.now() - startMs} ms`)
  }
})

test('text that is not UTF-8 is counted and shown without its broken parts', () => {
  let sample = ''
  let count = 0
  const reader = createReader({
    keepBytes: 1024,
    onMessage(message) {
      count++
      sample = sampleOf(message, 512, false)
    },
  })
  reader.read(Buffer.from('ERROR caf\xe9 \xff\xfe ok\n', 'latin1'))
  reader.flush()
  assert.equal(count, 1)
  assert.ok(sample.isWellFormed())
  assert.match(sample, /^ERROR caf/)
})
