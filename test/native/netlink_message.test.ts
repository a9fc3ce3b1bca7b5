// Netlink is distrusted: a million damaged datagrams, none of them read beyond its end.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const folder = mkdtempSync(join(tmpdir(), 'leadline-netlink-'))
after(() => rmSync(folder, { recursive: true }))

test('a damaged netlink datagram is never read beyond its end, and every walk through it ends', () => {
  const program = join(folder, 'mutations')
  const flags = [
    '-std=c++20',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover',
  ]
  const built = spawnSync('g++', [...flags, 'test/native/netlink_mutations.cc', '-o', program], { encoding: 'utf8' })
  assert.equal(built.status, 0, built.stderr)
  const fixtures = readdirSync('test/fixtures/netlink').map((name) => join('test/fixtures/netlink', name))
  assert.ok(fixtures.length >= 11)
  const run = spawnSync(program, ['1000000', ...fixtures], { encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
  assert.match(run.stdout, /^\d+ stats/)
})
