// `leadline logs` as a person sees it: on a pseudo-terminal that script(1) opens.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { until } from '../../until.ts'
import { MAIN } from './given.ts'

const LEADLINE = `${process.execPath} --disable-warning=ExperimentalWarning ${MAIN} logs`
const RED = '\x1b[31m'
const NOT_DIM = '\x1b[22m'
const CLEAR_SCREEN = '\x1b[H\x1b[2J'
const CLEAR_LINE = '\r\x1b[K'
/** Node has to start first, beside whatever else the machine does. */
const PATIENCE = { deadlineMs: 30_000 }
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

test('no line is wider than the terminal', async (t) => {
  const path = logFile(t)
  appendFileSync(
    path,
    `2024-05-02 11:20:34 INFO ${'words '.repeat(40)}\n${'2024-05-02 11:20:35 INFO it goes on and on '.repeat(4)}\n`,
  )
  const { shown, ended } = onTerminal(t, `stty cols 72; ${LEADLINE} ${path}`)
  assert.equal(await ended, 0)
  const widths = stripVTControlCharacters(shown())
    .split('\r\n')
    .map((line) => line.length)
  assert.equal(Math.max(...widths), 72, shown())
})

test('a long reading says how far it is, and takes that away in the end', async (t) => {
  const path = logFile(t)
  const pipe = `${path}.pipe`
  for (const more of ['', '2>/dev/null']) {
    execFileSync('mkfifo', [pipe])
    const { shown, ended } = onTerminal(t, `${LEADLINE} <${pipe} ${more}`)
    const writer = await open(pipe, 'w')
    let rounds = 0
    // Written until the progress shows, however long the machine takes; where it must not show, for long enough.
    const isEnough = () => (more === '' ? shown().split(CLEAR_LINE).length > 2 : rounds >= 10)
    await until(
      'the progress',
      async () => {
        await writer.write(ERRORS)
        rounds++
        return isEnough()
      },
      { ...PATIENCE, everyMs: 250 },
    )
    await writer.close()
    rmSync(pipe)
    assert.equal(await ended, 0)
    const [before = '', progress = '', ...later] = shown().split(CLEAR_LINE)
    const summary = new RegExp(`^${rounds * 2} messages, 1 pattern`)
    if (more !== '') assert.match(before, summary)
    else {
      assert.match(progress, /^read \d+\.\d MB, \d+\.\d MB\/s$/)
      assert.match(later.at(-1) ?? '', summary)
    }
  }
})

test('--follow shows the same summary anew as the file grows, until Control-C', async (t) => {
  const path = logFile(t)
  // In place of the shell: one that waits would end of Control-C itself, as dash does, and script(1) takes that which
  // SHELL names, or dash where there is none.
  const { shown, type, ended } = onTerminal(t, `exec ${LEADLINE} --follow ${path}`)
  const screen = () => shown().split(CLEAR_SCREEN).at(-1) ?? ''
  // A terminal hands on what is written to it in pieces, so a screen is there when its last line is.
  const isShown = (first: string, last: string) =>
    screen().startsWith(first) && screen().endsWith(`${last}${NOT_DIM}\r\n`)
  await until('the summary', () => isShown('2 messages, 1 pattern', 'no stock for 1'), PATIENCE)
  appendFileSync(path, '2024-05-02 11:20:32 ERROR no stock for 3\n2024-05-02 11:20:33 WARN slow\n')
  await until('what was added', () => isShown('4 messages, 2 patterns', 'WARN slow'), PATIENCE)
  assert.ok(screen().includes(`3  ${RED}error`), JSON.stringify(screen()))
  type(CONTROL_C)
  assert.equal(await ended, 0)
  assert.match(screen(), /4 messages, 2 patterns[^\0]*4 messages, 2 patterns/, 'and once more for the scroll-back')
})
