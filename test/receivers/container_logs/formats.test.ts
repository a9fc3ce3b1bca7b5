// Lines as containers wrote them, out of what runtimes made of them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cri } from '../../../receivers/container_logs/formats/cri.ts'
import type { Format } from '../../../receivers/container_logs/formats/format.ts'
import { jsonFile } from '../../../receivers/container_logs/formats/json_file.ts'
import { local } from '../../../receivers/container_logs/formats/local.ts'
import { text } from '../../../receivers/container_logs/formats/text.ts'
import { timestampMs } from '../../../receivers/container_logs/formats/timestamp.ts'
import { createDecoded } from '../../../receivers/container_logs/lines.ts'
import { randomFrom } from '../../random.ts'

const options = { maxLineBytes: 1 << 20 }
const docker = (log: string, stream = 'stdout') =>
  `${JSON.stringify({ log, stream, time: '2026-11-25T14:14:33.123456789Z' })}\n`

function decode(format: Format, bytes: Buffer | string) {
  const decoded = createDecoded()
  const taken = format.decode(Buffer.from(bytes), 0, decoded)
  const { stdout, stderr } = decoded
  return {
    taken,
    stdout: stdout.bytes.toString('utf8', 0, stdout.length),
    stderr: stderr.bytes.toString('utf8', 0, stderr.length),
    writtenMs: [...stdout.writtenMs.subarray(0, stdout.count)],
    damaged: decoded.damaged,
    cutBytes: decoded.cutBytes,
  }
}

test('json-file: what Docker escapes is what the container wrote', () => {
  for (const line of ['plain', 'quo"te \\ back', 'tab\tcr\r', '\u0000\u0001', 'ä€😀', '<a>&', '\u2028', '']) {
    const { stdout, damaged } = decode(jsonFile(options), docker(`${line}\n`).replaceAll('<', '\\u003c'))
    assert.deepEqual({ stdout, damaged }, { stdout: `${line.replace(/\r$/, '')}\n`, damaged: 0 })
  }
  assert.equal(decode(jsonFile(options), '{"log":"\\ud83d\\ude00\\n","stream":"stdout","time":"x"}\n').stdout, '😀\n')
})

test('json-file: outputs are kept apart, times are told', () => {
  const { stdout, stderr, writtenMs } = decode(jsonFile(options), docker('out\n') + docker('err\n', 'stderr'))
  assert.deepEqual([stdout, stderr], ['out\n', 'err\n'])
  assert.equal(Math.floor(writtenMs[0] ?? 0), Date.parse('2026-11-25T14:14:33.123Z'))
})

test('json-file: pieces are joined by output, and remember where their line began', () => {
  const format = jsonFile(options)
  const piece = 'a'.repeat(16 << 10)
  const begun = decode(format, docker(piece) + docker('between\n', 'stderr'))
  assert.equal(begun.stdout, '')
  assert.equal(begun.stderr, 'between\n')
  assert.equal(format.heldFrom(), 0)
  assert.equal(decode(format, docker('end\n')).stdout, `${piece}end\n`)
  assert.equal(format.heldFrom(), undefined)
  assert.equal(decode(format, docker('no newline, because the container ended')).stdout.length, 40)
})

test('json-file: other keys, another order, and damage', () => {
  const attrs = '{"log":"x\\n","stream":"stderr","attrs":{"time":"no","a":"b"},"time":"2026-11-25T14:14:33Z"}\n'
  assert.equal(decode(jsonFile(options), attrs).stderr, 'x\n')
  assert.equal(decode(jsonFile(options), '{"stream":"stdout","log":"y\\n"}\n').stdout, 'y\n')
  for (const damaged of ['\0\0\0\n', '{"log":"cut\n', 'null\n', '[]\n', '{"log":"\\u12\n', '{"log":7}\n']) {
    const told = decode(jsonFile(options), damaged + docker('next\n'))
    assert.deepEqual([told.damaged, told.stdout], [1, 'next\n'], damaged)
  }
})

test('json-file: escapes anywhere in lines of any length', () => {
  const next = randomFrom(6)
  const pieces = [
    '"',
    '\\',
    '\t',
    '\u0001',
    'ä',
    '😀',
    '\u2028',
    'x',
    ' ',
    'x'.repeat(15),
    'y'.repeat(40),
    'z'.repeat(700),
  ]
  const lines = Array.from({ length: 2000 }, () => {
    const count = next(8)
    return Array.from({ length: count }, () => pieces[next(pieces.length)]).join('')
  })
  const { stdout, damaged } = decode(jsonFile(options), lines.map((line) => docker(`${line}\n`)).join(''))
  assert.deepEqual(stdout.split('\n').slice(0, -1), lines)
  assert.equal(damaged, 0)
})

test('json-file: a record without a time takes nothing of the next one', () => {
  const { stdout, stderr } = decode(jsonFile(options), `{"log":"a\\n","stream":"stdout"}\n${docker('b\n', 'stderr')}`)
  assert.deepEqual([stdout, stderr], ['a\n', 'b\n'])
})

test('json-file: any damage in any place costs no more than records', () => {
  const whole = Buffer.from(docker('some "text" ä\n') + docker('more\n', 'stderr'))
  const random = randomFrom(1)
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(whole)
    for (let n = random(4); n >= 0; n--) bytes[random(bytes.length)] = random(256)
    const { taken } = decode(jsonFile(options), bytes.subarray(0, random(bytes.length + 1)))
    assert.ok(taken <= bytes.length)
  }
})

test('a line longer than it may be is cut, and what is cut is counted', () => {
  const small = { maxLineBytes: 10 }
  assert.deepEqual(decode(jsonFile(small), docker('0123456789abc\n')).stdout, '0123456789\n')
  assert.equal(decode(jsonFile(small), docker('0123456789abc\n')).cutBytes, 3)
  const format = text(small)
  assert.equal(decode(format, '0123456789a').stdout, '0123456789\n')
  const rest = decode(format, 'bcd\nnext\n')
  assert.deepEqual([rest.stdout, rest.cutBytes], ['next\n', 4])
})

test('text: CRLF is a newline, NUL a byte, an open line waits', () => {
  const { stdout, taken } = decode(text(options), 'a\r\n\0b\n\nopen')
  assert.deepEqual([stdout, taken], ['a\n\0b\n\n', 7])
  assert.equal(decode(text(options), 'none').taken, 0)
})

test('cri: P joins, F ends, per output; offsets of time zones count', () => {
  const at = '2026-11-25T16:14:33.5+02:00'
  const told = decode(cri(options), `${at} stdout P one \n${at} stderr F err\n${at} stdout F two\n${at} stdout F \n`)
  assert.deepEqual([told.stdout, told.stderr], ['one two\n\n', 'err\n'])
  assert.equal(told.writtenMs[0], Date.parse('2026-11-25T14:14:33.500Z'))
  assert.equal(decode(cri(options), `${at} stdout F\nno record\n${at} stdin F x\n`).damaged, 2)
})

test('local: records between their lengths, pieces by their metadata, on after damage', () => {
  const varint = (value: bigint): number[] =>
    value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)]
  const bytes = (field: number, value: Buffer) =>
    Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(BigInt(value.length))]), value])
  function framed(source: string, line: string, last?: boolean): Buffer {
    const time = Buffer.from([16, ...varint(1_764_080_073_123_000_000n)])
    const metadata = last === undefined ? [] : [Buffer.from([32, 1]), bytes(5, Buffer.from(last ? [8, 1] : []))]
    const entry = Buffer.concat([bytes(1, Buffer.from(source)), time, bytes(3, Buffer.from(line)), ...metadata])
    const length = Buffer.alloc(4)
    length.writeUInt32BE(entry.length)
    return Buffer.concat([length, entry, length])
  }
  const records = [
    framed('stdout', 'one'),
    framed('stdout', 'two ', false),
    framed('stderr', 'err'),
    framed('stdout', 'end', true),
  ]
  const whole = Buffer.concat(records)
  const told = decode(local(options), whole)
  assert.deepEqual([told.stdout, told.stderr, told.taken], ['one\ntwo end\n', 'err\n', whole.length])
  assert.equal(told.writtenMs[0], 1_764_080_073_123)
  assert.equal(decode(local(options), whole.subarray(0, -1)).taken, whole.length - (records[3]?.length ?? 0))
  const damaged = Buffer.from(whole)
  damaged[3] = 1
  assert.deepEqual([decode(local(options), damaged).stdout, decode(local(options), damaged).damaged], ['two end\n', 1])
})

test('a time is what Date makes of it', () => {
  for (const time of ['2026-11-25T14:14:33Z', '2000-02-29T23:59:59.999Z', '1999-12-31T00:00:00.1-11:30']) {
    assert.equal(timestampMs(Buffer.from(time), 0, time.length), Date.parse(time), time)
  }
  for (const none of ['', 'yesterday, at about noon', '20x6-11-25T14:14:33Z']) {
    assert.ok(Number.isNaN(timestampMs(Buffer.from(none), 0, none.length)), none)
  }
})
