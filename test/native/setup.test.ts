// The set-up script on machines that lack something: it says exactly what to install, and with nothing to do it is quick.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { root } from '../../native/paths.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'

/** What the script calls before it looks for compilers. */
const BASICS = [
  'bash',
  'cat',
  'dirname',
  'grep',
  'id',
  'mkdir',
  'npm',
  'node',
  'sed',
  'setpriv',
  'sha256sum',
  'tr',
  'uname',
]

/** A PATH with nothing but the basics and what is named. */
function pathWith(t: TestContext, ...more: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-path-'))
  chmodSync(folder, 0o755)
  atEnd(t, () => rmSync(folder, { recursive: true }))
  for (const name of [...BASICS, ...more]) {
    const { stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' })
    if (stdout.trim() !== '') symlinkSync(stdout.trim(), join(folder, name))
  }
  return folder
}

function setUp(path: string, under: readonly string[] = []) {
  const [command = '', ...args] = [...under, 'bash', 'native/setup.sh', 'build']
  const { status, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  })
  return { status, stderr }
}

test('who is not root is told the very command that installs what is missing', requires('root'), (t) => {
  const { status, stderr } = setUp(pathWith(t, 'apt-get'), ['setpriv', '--reuid=65534', '--clear-groups'])
  assert.equal(status, 1)
  assert.match(stderr, /only root can install/)
  assert.match(stderr, /^ {7}sudo apt-get install --no-install-recommends g\+\+ make clang llvm\b/m)
})

test('on another distribution it names the packages of two others, and installs nothing', (t) => {
  const { status, stderr } = setUp(pathWith(t))
  assert.equal(status, 1)
  assert.match(stderr, /not Debian or Ubuntu/)
  assert.match(stderr, /dnf install gcc-c\+\+/)
  assert.match(stderr, /apk add g\+\+/)
})

test('with nothing to do it does nothing, and says nothing', () => {
  const { status, stderr } = setUp(process.env.PATH ?? '')
  assert.equal(status, 0)
  assert.equal(stderr, '')
})
