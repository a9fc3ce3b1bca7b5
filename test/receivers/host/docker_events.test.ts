// The Docker Engine's event stream: a captured line, lines cut anywhere, damaged ones.
import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { decodeEvent, readLines, stringsOf } from '../../../receivers/host/docker_events.ts'
import { randomFrom } from '../../random.ts'

const ID = '63425c4a8b4291744a79dd9011fddc7a1f8ffda61f65d72196aa01d00cae2e2d'
/** As Docker 20.10 writes it, with its older fields. */
const LINE = `{"status":"rename","id":"${ID}","from":"nginx:1.27","Type":"container","Action":"rename","Actor":{"ID":"${ID}","Attributes":{"image":"nginx:1.27","maintainer":"a \\"b\\"\\n","name":"shop","oldName":"/web"}},"scope":"local","time":1764079565,"timeNano":1764079565123456789}`

const event = (attributes: unknown, more: object = {}) =>
  decodeEvent(
    JSON.stringify({ Action: 'create', Actor: { ID, Attributes: attributes }, timeNano: 1764079565e9, ...more }),
  )

test('an event has its container, its names and where to go on', () => {
  assert.deepEqual(decodeEvent(LINE), {
    action: 'rename',
    id: ID,
    since: '1764079565.122457',
    name: 'shop',
    image: 'nginx:1.27',
    labels: { maintainer: 'a "b"\n' },
  })
})

test('labels may be anything; what is no text is left out', () => {
  const strange = { 'a"b': 'c\n"d\\', long: 'x'.repeat(4096), '': 'empty', broken: 'a\ud800b', __proto__x: 'y' }
  assert.deepEqual(event(strange)?.labels, strange)
  assert.deepEqual(event({ name: 'a', number: 1, none: null, list: ['a'] })?.labels, {})
  assert.deepEqual(Object.entries(stringsOf(JSON.parse('{"__proto__":"x","constructor":"y"}'))), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ])
  for (const nothing of [undefined, null, 1, 'text', []]) assert.deepEqual(event(nothing)?.labels, {})
})

test('what is no event of a container is none', () => {
  const wrong = ['', '{', 'null', '[]', '1', '"text"', '{}', '{"Actor":null}', '{"Action":"die"}', '\u0000']
  for (const line of wrong) assert.equal(decodeEvent(line), undefined, line)
  assert.equal(event({}, { Action: 1 }), undefined)
  assert.equal(event({}, { Actor: { ID: '' } }), undefined)
  assert.equal(event({}, { timeNano: '1764079565' }), undefined)
})

test('a time that Docker would not take back is none', () => {
  for (const time of ['1e999', '-1e999', '1e300', '-1', '1e21']) {
    const line = LINE.replace('1764079565123456789', time)
    assert.equal(decodeEvent(line), undefined, time)
  }
})

test('lines arrive whole, wherever they were cut', async () => {
  const text = Buffer.from(`${LINE}\n\n${LINE.replace('shop', 'größe 😀')}\r\n${LINE}\n`)
  const expected = await linesOf([text])
  assert.equal(expected.length, 3)
  assert.ok(expected[1]?.includes('größe 😀'))
  for (let size = 1; size < 40; size++) {
    const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, i) =>
      text.subarray(i * size, (i + 1) * size),
    )
    assert.deepEqual(await linesOf(chunks), expected)
  }
})

test('bytes that are no UTF-8 reach nobody as such', async () => {
  const [line = ''] = await linesOf([
    Buffer.concat([
      Buffer.from('{"Action":"create","timeNano":1764079565123456789,"Actor":{"ID":"a","Attributes":{"name":"'),
      Buffer.from([0xff, 0xc3, 0x28]),
      Buffer.from('"}}}\n'),
    ]),
  ])
  assert.equal(decodeEvent(line)?.name, '\ufffd\ufffd(')
})

test('a line without end costs no memory without end, and the next ones count', async () => {
  const chunk = Buffer.alloc(1 << 20, 'x')
  const before = process.memoryUsage().rss
  const lines = await linesOf([...Array.from({ length: 64 }, () => chunk), Buffer.from(`\n${LINE}\n`)])
  assert.equal(lines.at(-1), LINE)
  assert.ok(process.memoryUsage().rss - before < 200 << 20)
})

test('the end is seen, however it comes', async () => {
  for (const end of [
    (stream: PassThrough) => stream.end(),
    (stream: PassThrough) => stream.destroy(),
    (stream: PassThrough) => stream.destroy(new Error('reset')),
  ]) {
    const stream = new PassThrough()
    const lines: string[] = []
    const ended = readLines(stream, (line) => lines.push(line))
    stream.write(`${LINE}\nhalf a li`)
    await new Promise((resolve) => setImmediate(resolve))
    end(stream)
    await ended
    assert.deepEqual(lines, [LINE])
  }
})

test('a million damaged lines are answered in time and throw nothing', () => {
  const bytes = Buffer.from(LINE)
  const next = randomFrom(7)
  const startMs = performance.now()
  let decoded = 0
  for (let i = 0; i < 1_000_000; i++) {
    const at = next(bytes.length)
    const was = bytes[at] ?? 0
    bytes[at] = next(256)
    const found = decodeEvent(bytes.toString('latin1', 0, next(8) === 0 ? next(bytes.length) : bytes.length))
    if (found !== undefined) {
      decoded++
      assert.match(found.since, /^\d+\.\d{6}$/)
    }
    bytes[at] = was
  }
  assert.ok(decoded > 100_000, `${decoded} were still readable`)
  assert.ok(performance.now() - startMs < 60_000)
})

async function linesOf(chunks: readonly Buffer[]): Promise<string[]> {
  const lines: string[] = []
  await readLines(Readable.from(chunks, { objectMode: false }), (line) => lines.push(line))
  return lines
}
