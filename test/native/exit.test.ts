// The process ends when it is told to, whatever stands in the way.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { requires } from '../requires.ts'

function run(...lines: string[]) {
  const script = [`import { exit, readFiles } from './native/index.ts'`, ...lines].join('\n')
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  return { status, stdout }
}
const LOAD = 'readFiles([])'
const STUCK = `process.on('exit', () => { console.log('stuck'); for (;;); })`

// What stood in the way of a real agent was Node, which waited for a thread of V8, which waited for Node; that comes
// when it likes (often with --stress-concurrent-allocation --stress-incremental-marking).
test('it ends with its code although Node does not come to its end', requires('addon'), () => {
  for (const code of [0, 3]) assert.deepEqual(run(LOAD, STUCK, `exit(${code})`), { status: code, stdout: 'stuck\n' })
})

test('it ends so although the alarm was blocked or ignored by whoever started it', requires('addon'), () => {
  const script = `import { exit, readFiles } from './native/index.ts'; ${LOAD}; ${STUCK}; exit(7)`
  const under = ['sh', '-c', 'trap "" ALRM; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script]
  assert.equal(spawnSync(under[0] ?? '', under.slice(1), { timeout: 30_000, killSignal: 'SIGKILL' }).status, 7)
})

test('what is to be done at the exit is done', requires('addon'), () => {
  const hook = `process.on('exit', (code) => console.log('hook', code))`
  assert.deepEqual(run(LOAD, hook, 'exit(4)'), { status: 4, stdout: 'hook 4\n' })
})

test('without the addon it is process.exit', () => {
  assert.deepEqual(run('exit(5)'), { status: 5, stdout: '' })
})
