// Entries as `journalctl --output=json --all` of systemd 252 prints them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseEntry } from '../../../receivers/container_logs/journalctl.ts'

const KNOWN = {
  __CURSOR: 's=7a2c;i=1f;b=9c;m=2;t=64;x=5',
  __REALTIME_TIMESTAMP: '1764000000123456',
  _TRANSPORT: 'stdout',
}
const parsed = (more: object) => parseEntry(JSON.stringify({ ...KNOWN, ...more }))?.entry

test('time, cursor and fields of an entry', () => {
  const told = { PRIORITY: '3', _SYSTEMD_UNIT: 'web.service', _SYSTEMD_CGROUP: '/system.slice/web.service' }
  const found = parseEntry(JSON.stringify({ ...KNOWN, ...told, MESSAGE: 'grüße' }))
  assert.equal(found?.cursor, KNOWN.__CURSOR)
  assert.equal(found?.entry.writtenMs, 1_764_000_000_123.456)
  assert.deepEqual(
    [found?.entry.priority, found?.entry.unit, found?.entry.cgroup, found?.entry.message.toString()],
    [3, 'web.service', '/system.slice/web.service', 'grüße'],
  )
})

test('a message of bytes, one that came twice, and none', () => {
  assert.deepEqual([...(parsed({ MESSAGE: [104, 255, 10] })?.message ?? [])], [104, 255, 10])
  assert.equal(parsed({ MESSAGE: ['first', 'second'] })?.message.toString(), 'first')
  assert.equal(parsed({ MESSAGE: [[97, 255], 'second'] })?.message.length, 2)
  assert.equal(parsed({ MESSAGE: null })?.message.length, 0)
  assert.equal(parsed({})?.priority, 255)
})

test('half an entry is none', () => {
  assert.equal(parseEntry('{"__CURSOR":"s=7a2c","MESSA'), undefined)
  assert.equal(parseEntry('{"MESSAGE":"without a place"}'), undefined)
})
