// The arrows between the rooms, and that the drawing would notice a wrong one.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const draw = (cwd: string) => spawnSync(process.execPath, ['test/imports.ts'], { cwd, encoding: 'utf8' })

test('imports go one way: otel-config → processors → receivers → native', () => {
  const { status, stderr } = draw('.')
  assert.equal(stderr.replace(/^.*(ExperimentalWarning|node --trace-warnings).*\n/gm, ''), '')
  assert.equal(status, 0)
})

test('an import against the arrows is named with its file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-imports-'))
  try {
    for (const room of ['test', 'native', 'receivers']) mkdirSync(join(folder, room))
    cpSync('test/imports.ts', join(folder, 'test/imports.ts'))
    writeFileSync(join(folder, 'native/index.ts'), "import { x } from '../receivers/receiver.ts'\n")
    const { status, stderr } = draw(folder)
    assert.equal(status, 1)
    assert.match(stderr, /native\/index\.ts imports receivers\/receiver\.ts/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
