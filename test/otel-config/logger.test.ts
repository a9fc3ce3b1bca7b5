// The agent's own lines: the Collector's shape, one line each whatever is in them, and never a flood.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { telemetrySettings } from '../../otel-config/config/schema.ts'
import { createLogger } from '../../otel-config/logger.ts'

const settings = (logs: object) => telemetrySettings.parse({ logs }).logs

function lines(logs: object, say: (log: ReturnType<typeof createLogger>) => void): string[] {
  const written: string[] = []
  say(createLogger(settings(logs), (line) => void written.push(line)))
  return written
}

test('a console line is time, level, message and fields', () => {
  const [line] = lines({}, (log) => log.info('started', { programs: 3 }))
  assert.match(line ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\tinfo\tstarted\t\{"programs":3\}\n$/)
  const [plain] = lines({}, (log) => log.warn('gone'))
  assert.match(plain ?? '', /Z\twarn\tgone\n$/)
})

test('a json line holds the same, with the fields that are always there', () => {
  const [line] = lines({ encoding: 'json', initial_fields: { cluster: 'blue' } }, (log) => {
    log.with({ 'otelcol.component.id': 'cgroup' }).error('broken', { error: new Error('no device'), count: 5n })
  })
  const { ts, ...rest } = JSON.parse(line ?? '')
  assert.match(ts, /Z$/)
  assert.deepEqual(rest, {
    level: 'error',
    msg: 'broken',
    cluster: 'blue',
    'otelcol.component.id': 'cgroup',
    error: 'no device',
    count: '5',
  })
})

test('below the level nothing is written', () => {
  const say = (log: ReturnType<typeof createLogger>) => {
    log.debug('1')
    log.info('2')
    log.warn('3')
    log.error('4')
  }
  assert.equal(lines({ level: 'debug' }, say).length, 4)
  assert.equal(lines({}, say).length, 3)
  assert.equal(lines({ level: 'error' }, say).length, 1)
})

test('a message with line breaks and escapes stays one harmless line', () => {
  const [line] = lines({}, (log) => log.info('a\nb\u001b[31m', { path: 'c\nd' }))
  assert.match(line ?? '', /\ta\\nb\?\[31m\t\{"path":"c\\nd"\}\n$/)
})

test('fields that cannot be written do not stop the line', () => {
  const loop: Record<string, unknown> = {}
  loop.loop = loop
  assert.match(lines({}, (log) => log.info('still here', { loop }))[0] ?? '', /still here\t\{"unprintable":/)
})

test('of a message that comes a thousand times a few are written', () => {
  const written = lines({}, (log) => {
    for (let i = 0; i < 1000; i++) log.warn('again')
    log.warn('another')
  })
  // The first 10, then every 100th of the other 990, then the other message.
  assert.equal(written.length, 10 + 9 + 1)
  const all = lines({ sampling: { enabled: false } }, (log) => {
    for (let i = 0; i < 1000; i++) log.warn('again')
  })
  assert.equal(all.length, 1000)
})

test('lines go to the files that are named, and what cannot be opened is an error with its setting', () => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-logger-'))
  try {
    const path = join(folder, 'agent.log')
    const log = createLogger(settings({ output_paths: [path] }))
    log.info('one')
    log.close()
    const again = createLogger(settings({ output_paths: [path] }))
    again.info('two')
    again.close()
    assert.match(readFileSync(path, 'utf8'), /one\n.*two\n$/)
    assert.throws(() => createLogger(settings({ output_paths: [folder] })), /output_paths: cannot open/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
