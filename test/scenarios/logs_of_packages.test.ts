// Logs that real programs wrote: what leadline counts by source and level is what grep counts in the same files,
// through the command, and through the processor with chunks cut anywhere between lines.
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import definition from '../../processors/log_fingerprint/index.ts'
import type { Host } from '../../receivers/host/host.ts'
import { leadline } from '../otel-config/commands/given.ts'
import { until } from '../otel-config/service/given.ts'
import { batch, cgroup, random } from '../processors/given.ts'
import { chunks } from '../processors/log_fingerprint/given.ts'
import { requires } from '../requires.ts'

type Counts = Readonly<Record<string, number>>

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'leadline-packages-'))
  chmodSync(path, 0o777)
  context.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const grep = (expression: string, file: string) =>
  Number(spawnSync('grep', ['-cE', expression, file], { encoding: 'utf8' }).stdout)

/** Levels that occur. */
const some = (counts: Counts) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))

function byCommand(file: string): Counts {
  const { code, stdout } = leadline(['logs', '--json', '--top', '100000', file])
  assert.equal(code, 0)
  const report = JSON.parse(stdout) as { levels: Counts; messages: number; patterns: { count: number }[] }
  assert.equal(
    report.patterns.reduce((sum, { count }) => sum + count, 0),
    report.messages,
  )
  return some(report.levels)
}

async function byProcessor(files: readonly string[]): Promise<Readonly<Record<string, Counts>>> {
  const next = random(5)
  const meter = new MeterProvider().getMeter('test')
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const settings = z.parse(definition.config, { flush_after: '0s' })
  const processor = await definition.start(settings, { host: {} as Host, log, meter, id: 'log_fingerprint' })
  const subject = cgroup(7)
  const waiting = files.map((file) => {
    const bytes = readFileSync(file)
    const lines = bytes.toString('latin1').split('\n').length
    const cuts = Array.from({ length: 20 }, () => Math.floor(next() * lines))
    return chunks(bytes, cuts).map((part) => ({ stream: streams.get(file) ?? follow(file), bytes: part }))
  })
  function follow(file: string) {
    const stream = { subject, source: file }
    streams.set(file, stream)
    return stream
  }
  // The files take turns, as a receiver would bring them.
  while (waiting.some(({ length }) => length > 0)) {
    for (const file of waiting) processor.consumeLogs?.('container_logs', file.splice(0, 1))
  }
  const counts: Record<string, Record<string, number>> = {}
  for (const { attributes, value } of processor.process(batch([], 2000, 'container_logs')).points) {
    const { source = '', level = '' } = attributes
    counts[source] ??= {}
    const of = counts[source]
    of[level] = (of[level] ?? 0) + value
  }
  return counts
}
const streams = new Map<string, { subject: ReturnType<typeof cgroup>; source: string }>()

async function agrees(expected: Readonly<Record<string, Counts>>) {
  for (const [file, counts] of Object.entries(expected)) assert.deepEqual(byCommand(file), some(counts), file)
  const wanted = Object.entries(expected).map(([file, counts]) => [file, some(counts)])
  assert.deepEqual(await byProcessor(Object.keys(expected)), Object.fromEntries(wanted))
}

test('nginx: error log by level, access log by lines', requires('nginx'), async (context) => {
  const at = folder(context)
  const socket = join(at, 'nginx.sock')
  const error = join(at, 'error.log')
  const access = join(at, 'access.log')
  writeFileSync(
    join(at, 'nginx.conf'),
    `daemon off; pid ${at}/pid; error_log ${error} notice; worker_processes 1;
     events {}
     http {
       access_log ${access}; client_body_temp_path ${at}/body; proxy_temp_path ${at}/proxy;
       fastcgi_temp_path ${at}/f; uwsgi_temp_path ${at}/u; scgi_temp_path ${at}/s;
       server {
         listen unix:${socket};
         location / { root ${at}/none; }
         location /up { proxy_pass http://127.0.0.1:1; }
         location /ok { return 200 ok; }
       }
     }`,
  )
  const child = spawn('/usr/sbin/nginx', ['-c', join(at, 'nginx.conf')], { stdio: 'ignore' })
  context.after(() => child.kill('SIGKILL'))
  await until(() => existsSync(socket), 'nginx')
  for (let i = 0; i < 30; i++) {
    const path = ['/ok', '/missing', '/up', '/error/critical-warning.png'][i % 4]
    execFileSync('curl', ['-s', '-o', '/dev/null', '--unix-socket', socket, `http://x${path}?password=secret${i}`])
  }
  child.kill('SIGQUIT')
  await new Promise((resolve) => child.once('close', resolve))
  await agrees({
    [error]: {
      info: grep('\\[notice\\]', error),
      error: grep('\\[error\\]', error),
      warning: grep('\\[warn\\]', error),
    },
    [access]: { unknown: grep('', access) },
  })
  assert.ok(grep('\\[error\\]', error) >= 15 && grep('', access) === 30)
})

test('redis: its marks', requires('redis'), async (context) => {
  const at = folder(context)
  const log = join(at, 'redis.log')
  const socket = join(at, 'redis.sock')
  const child = spawn(
    '/usr/bin/redis-server',
    ['--port', '0', '--unixsocket', socket, '--logfile', log, '--dir', at, '--loglevel', 'debug'],
    { stdio: 'ignore' },
  )
  context.after(() => child.kill('SIGKILL'))
  await until(() => existsSync(socket), 'redis')
  for (const command of ['SAVE', 'BGSAVE', 'DEBUG SLEEP 0', 'CONFIG SET maxmemory 10']) {
    spawnSync('redis-cli', ['-s', socket, ...command.split(' ')])
  }
  child.kill('SIGTERM')
  await new Promise((resolve) => child.once('close', resolve))
  const mark = (sign: string) => grep(`^[0-9]+:[A-Z] .* [0-9:.]+ ${sign} `, log)
  await agrees({
    [log]: { debug: mark('[.]'), info: mark('[*-]'), warning: mark('#'), unknown: grep(':signal-handler ', log) },
  })
  assert.ok(mark('[*-]') > 3)
})

test('postgres: its words, and statements over many lines', requires('postgres', 'root'), async (context) => {
  const at = folder(context)
  const bin =
    readdirSync('/usr/lib/postgresql')
      .map((version) => `/usr/lib/postgresql/${version}/bin`)
      .at(-1) ?? ''
  const as = (command: string, args: readonly string[]) => [
    '--reuid=postgres',
    '--regid=postgres',
    '--clear-groups',
    join(bin, command),
    ...args,
  ]
  const data = join(at, 'data')
  execFileSync('setpriv', as('initdb', ['-D', data, '-A', 'trust', '--no-sync']), { stdio: 'ignore', cwd: at })
  const log = join(at, 'postgres.log')
  writeFileSync(log, '')
  const child = spawn(
    'sh',
    [
      '-c',
      `exec setpriv "$@" 2>>${log}`,
      'sh',
      ...as('postgres', ['-D', data, '-k', at, '-c', 'listen_addresses=', '-c', 'log_line_prefix=%m [%p] ']),
    ],
    { stdio: 'ignore', cwd: at },
  )
  context.after(() => child.kill('SIGKILL'))
  await until(() => readFileSync(log, 'utf8').includes('ready to accept connections'), 'postgres')
  const sql = (text: string, database = 'postgres') =>
    spawnSync('setpriv', as('psql', ['-h', at, '-U', 'postgres', '-c', text, database]), { cwd: at })
  for (let i = 0; i < 5; i++) {
    sql(`SELECT *\nFROM carts_${i}\nWHERE id = ${i}`)
    sql(`DO $$ BEGIN RAISE LOG 'cart ${i} is full'; RAISE WARNING 'only a warning'; END $$`)
    sql('SELECT 1', `missing_${i}`)
  }
  child.kill('SIGINT')
  await new Promise((resolve) => child.once('close', resolve))
  const word = (words: string) => grep(`^[0-9-]+ [0-9:.]+ [A-Z]+ \\[[0-9]+\\] (${words}): `, log)
  await agrees({
    [log]: {
      info: word('LOG'),
      warning: word('WARNING'),
      error: word('ERROR'),
      critical: word('FATAL'),
      unknown: word('STATEMENT|DETAIL|HINT|CONTEXT'),
    },
  })
  assert.ok(word('ERROR') === 5 && word('FATAL') === 5 && word('STATEMENT') >= 5)
})

test('writers of traces, klog and JSON', async (context) => {
  const at = folder(context)
  const next = random(9)
  const files = ['java.log', 'python.log', 'klog.log', 'json.log'].map((name) => join(at, name))
  const [java = '', python = '', klog = '', json = ''] = files
  for (const file of files) writeFileSync(file, '')
  for (let i = 0; i < 300; i++) {
    const time = new Date(1_714_650_000_000 + i * 1000).toISOString()
    const isBad = next() < 0.3
    const java_ = `${time} ${isBad ? 'ERROR' : ' INFO'} 1 --- [exec-${i}] c.a.Orders : order ${i} ${isBad ? 'failed' : 'placed'}\n`
    appendFileSync(
      java,
      isBad
        ? `${java_}java.lang.IllegalStateException: no stock for ${i}\n\tat c.a.Stock.take(Stock.java:${i})\nCaused by: java.io.IOException: gone\n\t... ${i} more\n`
        : java_,
    )
    appendFileSync(
      python,
      isBad
        ? `${time} ERROR job ${i} failed\nTraceback (most recent call last):\n  File "/j.py", line ${i}, in run\n    go()\nValueError: ${i}\n\n`
        : `${time} INFO job ${i} done\n`,
    )
    appendFileSync(
      klog,
      `${isBad ? 'E' : 'I'}0502 11:20:31.${String(i).padStart(6, '0')}       1 reflector.go:${i}] watch of node-${i} ${isBad ? 'failed' : 'began'}\n`,
    )
    appendFileSync(
      json,
      `{"level":"${isBad ? 'error' : 'info'}","ts":${1_714_650_000 + i},"msg":"request ${i} ${isBad ? 'failed' : 'served'}"}\n`,
    )
  }
  const levels = (file: string, error: string, info: string) => ({
    [file]: { error: grep(error, file), info: grep(info, file) },
  })
  await agrees({
    ...levels(java, 'Z ERROR ', 'Z  INFO '),
    ...levels(python, 'Z ERROR ', 'Z INFO '),
    ...levels(klog, '^E0502', '^I0502'),
    ...levels(json, '"level":"error"', '"level":"info"'),
  })
})
