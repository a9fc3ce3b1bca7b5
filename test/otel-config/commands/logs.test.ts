// `leadline logs` as people and scorers use it: real processes, real pipes, and counts that grep agrees with.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { appendFileSync, renameSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { until } from '../service/given.ts'
import { folder, leadline, MAIN } from './given.ts'

const LOG = `2024-05-02 11:20:30,101 INFO [main] started in 120 ms
2024-05-02 11:20:31,101 ERROR [pool-1] cannot reach 10.0.0.1
java.net.ConnectException: Connection refused
	at a.B.c(B.java:1)
2024-05-02 11:20:32,101 ERROR [pool-2] cannot reach 10.0.0.2
2024-05-02 11:20:33,101 WARN [pool-2] password=hunter22hunter retry 3
2024-05-02 11:40:33,101 ERROR [pool-2] cannot reach 10.0.0.9
`

/** With something on standard input. */
function piped(args: readonly string[], input: string | Buffer, environment: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'logs', ...args], {
    input,
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 1 << 28,
    env: { ...process.env, ...environment },
  })
  return { code: status, stdout, stderr }
}

type Report = {
  messages: number
  first: string
  levels: Record<string, number>
  patterns: { count: number; level: string; pattern: string; sample: string; pattern_hash: string }[]
  more_patterns: number
}
const report = (args: readonly string[], input: string | Buffer) =>
  JSON.parse(piped(['--json', ...args], input).stdout) as Report

test('shows patterns by count, with level and sample, and secrets in none of them', () => {
  const { code, stdout, stderr } = piped([], LOG)
  assert.equal(code, 0)
  assert.equal(stderr, '')
  assert.match(stdout, /^5 messages, 3 patterns · 2024-05-02 /)
  assert.match(stdout, /\n {4}3 {2}error {4}.*cannot reach <\*>\n/)
  assert.match(stdout, /cannot reach 10\.0\.0\.1 java\.net\.ConnectException: Connection refused at a\.B\.c/)
  assert.ok(!stdout.includes('hunter22'))
  assert.ok(piped(['--raw'], LOG).stdout.includes('hunter22'))
})

test('as JSON, from level and time on, and only the first', () => {
  const all = report([], LOG)
  assert.equal(all.messages, 5)
  assert.deepEqual(all.levels, { unknown: 0, debug: 0, info: 1, warning: 1, error: 3, critical: 0 })
  assert.equal(report(['--level', 'error'], LOG).messages, 3)
  assert.equal(report(['--level', 'ERR'], LOG).messages, 3)
  assert.equal(report(['--level', 'warn'], LOG).messages, 4)
  assert.equal(report(['--since', '2024-05-02T11:30:00'], LOG).messages, 1)
  assert.equal(report(['--since', '1h'], LOG).messages, 0)
  const first = report(['--top', '1'], LOG)
  assert.equal(first.patterns.length, 1)
  assert.equal(first.more_patterns, 2)
})

test('reads files one after the other, and says what it cannot read', (context) => {
  const write = folder(context)
  const one = write('one.log', LOG)
  const two = write('two.log', LOG.slice(0, -1))
  const answer = leadline(['logs', '--json', one, two])
  assert.equal((JSON.parse(answer.stdout) as Report).messages, 10)
  const missing = leadline(['logs', `${one}.gone`])
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /cannot read .*one\.log\.gone: there is no such file · fix: /)
})

test('one file that cannot be read does not hide the others', (context) => {
  const write = folder(context)
  const one = write('one.log', LOG.slice(0, -1))
  const program = write('program', '\x7fELF\x02\x01\x01\0\0\0')
  const answer = leadline(['logs', '--json', program, one, `${one}.gone`, one])
  assert.equal((JSON.parse(answer.stdout) as Report).messages, 10)
  assert.equal(answer.code, 1)
  assert.match(
    answer.stderr,
    /^Error: cannot read .*program: it is not text · fix: .*\nError: .*one\.log\.gone: there is no/,
  )
  const both = leadline(['logs', program, `${one}.gone`])
  assert.equal(both.stdout, '')
  assert.equal(both.stderr.trim().split('\n').length, 2)
})

test('packed files are read as what is in them, and a damaged one is said', (context) => {
  const write = folder(context)
  const plain = write('app.log', LOG)
  for (const [ending, pack] of [
    ['gz', gzipSync],
    ['zst', zstdCompressSync],
  ] as const) {
    writeFileSync(`${plain}.${ending}`, pack(LOG.repeat(1000)))
    const answer = leadline(['logs', '--json', plain, `${plain}.${ending}`])
    assert.equal((JSON.parse(answer.stdout) as Report).messages, 5005)
    const throughPipe = `"$0" ${MAIN} logs --json <(cat "$1")`
    const fromPipe = spawnSync('bash', ['-c', throughPipe, process.execPath, `${plain}.${ending}`], {
      encoding: 'utf8',
    })
    assert.equal(fromPipe.stderr, '')
    assert.equal((JSON.parse(fromPipe.stdout) as Report).messages, 5000)
    writeFileSync(`${plain}.${ending}`, pack(LOG.repeat(1000)).subarray(0, -9))
    const damaged = leadline(['logs', '--json', plain, `${plain}.${ending}`])
    assert.equal(damaged.code, 1)
    assert.match(damaged.stderr, /^Error: cannot read all of .*app\.log\.\w+: .* · fix: /)
  }
})

test('files of different formats, and one without a line end, stay apart', (context) => {
  const write = folder(context)
  const docker = write(
    'docker',
    `${JSON.stringify({ log: 'ERROR one\n', stream: 'stdout', time: '2024-05-02T11:20:31Z' })}`,
  )
  const cri = write('cri', '2024-05-02T11:20:32Z stdout F ERROR two')
  const plain = write('plain', '2024-05-02 11:20:33 ERROR three')
  const answer = leadline(['logs', '--json', docker, cri, plain])
  const samples = (JSON.parse(answer.stdout) as Report).patterns.map(({ sample }) => sample)
  assert.deepEqual(samples.sort(), ['2024-05-02 11:20:33 ERROR three', 'ERROR one', 'ERROR two'])
})

test('wrong flags are told in one line', () => {
  for (const [args, says] of [
    [['--level', 'loud'], /unknown --level "loud": unknown, debug, info/],
    [['--top', 'many'], /--top takes a whole number, not "many"/],
    [['--since', 'noon'], /--since takes a duration/],
    [['--format', 'xml'], /unknown --format "xml": auto, plain, docker, cri/],
    [['--colour'], /unknown option '--colour'/],
  ] as const) {
    const { code, stderr } = piped(args, '')
    assert.equal(code, 1)
    assert.match(stderr, says)
    assert.equal(stderr.trim().split('\n').length, 1)
  }
})

test('Docker and CRI lines are unwrapped by themselves: streams apart, parts joined', () => {
  const docker = [
    { log: '2024-05-02 11:20:31 ERROR failed\n', stream: 'stderr', time: '2024-05-02T11:20:31.1Z' },
    { log: '2024-05-02 11:20:31 INFO heartbeat\n', stream: 'stdout', time: '2024-05-02T11:20:31.2Z' },
    { log: 'java.lang.IllegalStateException: x\n', stream: 'stderr', time: '2024-05-02T11:20:31.3Z' },
    { log: '2024-05-02 11:20:32 WARN half ', stream: 'stdout', time: '2024-05-02T11:20:32.1Z' },
    { log: 'and half\n', stream: 'stdout', time: '2024-05-02T11:20:32.2Z' },
  ]
  const asDocker = docker.map((line) => JSON.stringify(line)).join('\n')
  const asCri = docker
    .map(
      ({ log, stream, time }) =>
        `${time} ${stream} ${log.endsWith('\n') ? 'F' : 'P'} ${log.trimEnd()}${log.endsWith('\n') ? '' : ' '}`,
    )
    .join('\n')
  for (const text of [asDocker, asCri]) {
    assert.deepEqual(report([], `${text}\n`).levels, {
      unknown: 0,
      debug: 0,
      info: 1,
      warning: 1,
      error: 1,
      critical: 0,
    })
    const lines = piped(['--messages'], `${text}\n`)
      .stdout.trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual(lines.map((message) => message.lines).sort(), [[1, 3], [2], [4, 5]])
  }
})

test('what is open on one stream keeps its own pattern while the other is read', () => {
  const docker = [
    { log: 'all went well with it\n', stream: 'stdout', time: '2024-05-02T11:20:31.1Z' },
    { log: 'cannot open file (1.2.3.4)\n', stream: 'stderr', time: '2024-05-02T11:20:31.2Z' },
    { log: 'next round begins now\n', stream: 'stdout', time: '2024-05-02T11:20:31.3Z' },
  ]
  const asDocker = docker.map((line) => JSON.stringify(line)).join('\n')
  const asCri = docker.map(({ log, stream, time }) => `${time} ${stream} F ${log.trimEnd()}`).join('\n')
  for (const text of [asDocker, asCri]) {
    assert.deepEqual(
      report([], `${text}\n`)
        .patterns.map(({ sample, pattern }) => [sample, pattern])
        .sort(),
      [
        ['all went well with it', 'all went well with it'],
        ['cannot open file (1.2.3.4)', 'cannot open file (<*>)'],
        ['next round begins now', 'next round begins now'],
      ],
    )
  }
})

test('one object for each message, for whoever scores it', () => {
  const { stdout } = piped([], LOG, { LOG_EVAL_FORMAT: 'plain' })
  const found = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    found.map(({ line, level }) => [line, level]),
    [
      [1, 'info'],
      [2, 'error'],
      [5, 'error'],
      [6, 'warning'],
      [7, 'error'],
    ],
  )
  assert.equal(found[1].hash, found[2].hash)
  assert.equal(piped([], LOG, { LOG_EVAL_FORMAT: 'plain', LOG_EVAL_BENCH: '1' }).stdout, '')
})

test('a slow reader of its output loses nothing', async () => {
  const lines = Array.from({ length: 50_000 }, (_, i) => `ERROR number ${i}`)
  const child = spawn(process.execPath, [MAIN, 'logs', '--messages'], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(`${lines.join('\n')}\n`)
  await new Promise((resolve) => setTimeout(resolve, 500))
  let out = ''
  for await (const piece of child.stdout.setEncoding('utf8')) out += piece
  assert.equal(out.split('\n').length - 1, 50_000)
})

test('nobody reads any more: it ends without a word', () => {
  const { status, stdout, stderr } = spawnSync(
    'sh',
    ['-c', `seq 200000 | sed 's/^/ERROR x/' | "${process.execPath}" ${MAIN} logs --messages | head -1`],
    { encoding: 'utf8', timeout: 60_000 },
  )
  assert.equal(status, 0)
  assert.match(stdout, /^\{"line":1,/)
  assert.equal(stderr, '')
})

test('--follow reads on as a file grows, is replaced, or shrinks', async (context) => {
  const path = folder(context)('app.log', 'ERROR one 1\n')
  const child = spawn(process.execPath, [MAIN, 'logs', '--follow', '--messages', path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  context.after(() => child.kill('SIGKILL'))
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text
  })
  const count = () => out.split('\n').length - 1
  // An open message ends after a second without a line.
  await until(() => count() === 1, 'the first line')
  appendFileSync(path, 'ERROR one 2\nERROR one 3\n')
  await until(() => count() === 3, 'what was appended')
  renameSync(path, `${path}.1`)
  appendFileSync(`${path}.1`, 'ERROR last words\n')
  writeFileSync(path, 'ERROR anew\n')
  await until(() => count() === 5, 'the last words and the new file')
  writeFileSync(path, 'E x\n')
  await until(() => count() === 6, 'the file that shrank')
  child.kill('SIGTERM')
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.equal(code, 0)
})
