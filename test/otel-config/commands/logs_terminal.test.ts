// `leadline logs` as a person sees it: on a pseudo-terminal that script(1) opens.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../until.ts'
import { MAIN } from './given.ts'

const LEADLINE = `${process.execPath} --disable-warning=ExperimentalWarning ${MAIN} logs`
const RED = '\x1b[31m'
const CLEAR_SCREEN = '\x1b[H\x1b[2J'
const CLEAR_LINE = '\r\x1b[K'
const CONTROL_C = '\x03'

const ERRORS = '2024-05-02 11:20:30 ERROR no stock for 1\n2024-05-02 11:20:31 ERROR no stock for 2\n'

function logFile(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-terminal-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'app.log')
  writeFileSync(path, ERRORS)
  return path
}

/** A shell's command line on a terminal of its own. */
function onTerminal(t: TestContext, command: string, environment: Readonly<Record<string, string>> = {}) {
  const { NO_COLOR: _, ...inherited } = process.env
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { ...inherited, ...environment },
  })
  t.after(() => child.kill('SIGKILL'))
  let shown = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { shown: () => shown, type: (keys: string) => child.stdin.write(keys), ended }
}

test('levels have colours on a terminal, and none where NO_COLOR is set or it is a pipe', async (t) => {
  const path = logFile(t)
  const coloured = onTerminal(t, `${LEADLINE} ${path}`)
  const plain = onTerminal(t, `${LEADLINE} ${path}`, { NO_COLOR: '1' })
  const piped = onTerminal(t, `${LEADLINE} ${path} | cat`)
  for (const { ended } of [coloured, plain, piped]) assert.equal(await ended, 0)
  assert.ok(coloured.shown().includes(`${RED}error`), JSON.stringify(coloured.shown()))
  for (const { shown } of [plain, piped]) {
    assert.ok(!shown().includes('\x1b'), JSON.stringify(shown()))
    assert.match(shown(), /2 {2}error .*no stock for <\*>/)
  }
})

test('a long reading says how far it is, and takes that away in the end', async (t) => {
  const path = logFile(t)
  const slow = (more = '') => `(for i in 1 2 3 4 5 6 7 8; do cat ${path}; sleep 0.4; done) | ${LEADLINE} ${more}`
  const watched = onTerminal(t, slow())
  const unwatched = onTerminal(t, slow('2>/dev/null'))
  for (const { ended } of [watched, unwatched]) assert.equal(await ended, 0)
  const [, progress = '', ...more] = watched.shown().split(CLEAR_LINE)
  assert.match(progress, /^read \d+\.\d MB, \d+\.\d MB\/s$/)
  assert.match(more.at(-1) ?? '', /^16 messages, 1 pattern/)
  assert.match(unwatched.shown(), /^16 messages, 1 pattern/)
})

test('--follow shows the same summary anew as the file grows, until Control-C', async (t) => {
  const path = logFile(t)
  const { shown, type, ended } = onTerminal(t, `${LEADLINE} --follow ${path}`)
  const screen = () => shown().split(CLEAR_SCREEN).at(-1) ?? ''
  await until('the summary', () => /^2 messages, 1 pattern/.test(screen()))
  appendFileSync(path, '2024-05-02 11:20:32 ERROR no stock for 3\n2024-05-02 11:20:33 WARN slow\n')
  await until('what was added', () => /^4 messages, 2 patterns/.test(screen()))
  assert.ok(screen().includes(`3  ${RED}error`), JSON.stringify(screen()))
  type(CONTROL_C)
  assert.equal(await ended, 0)
  assert.match(screen(), /4 messages, 2 patterns[^\0]*4 messages, 2 patterns/, 'and once more for the scroll-back')
})
