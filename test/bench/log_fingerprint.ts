// Lines and megabytes per second and core of reading logs: the processor and the command, beside grep and wc on the
// same file. CPU time, not the clock's, so that neighbours disturb less.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import * as z from 'zod/mini'
import type source from '../../processors/log_fingerprint/index.ts'
import type { Host } from '../../receivers/host/host.ts'
import { batch, cgroup, random } from '../processors/given.ts'
import { cases } from '../processors/log_fingerprint/given.ts'

type Definition = typeof source

export type Row = Record<string, string | number>

const LINES = 500_000
const CHUNK_BYTES = 65_536
const ROOT = join(import.meta.dirname, '../..')

/** One row per way of reading the same file. */
export async function run(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-bench-'))
  const rows: Row[] = []
  try {
    const definition = await shipped(folder)
    for (const [kind, lines] of [
      ['one service', service()],
      ['every kind', everyKind()],
    ] as const) {
      const file = join(folder, 'log')
      writeFileSync(file, `${lines.join('\n')}\n`)
      const bytes = readFileSync(file)
      const row = (what: string, seconds: number): Row => ({
        log: kind,
        what,
        'M lines/s': round2(lines.length / seconds / 1e6),
        'MB/s': Math.round(bytes.length / seconds / 1e6),
        'ns/line': Math.round((seconds * 1e9) / lines.length),
      })
      rows.push(row('processor', await processor(bytes, definition)))
      rows.push(row('leadline logs, counting', command(file, { LOG_EVAL_BENCH: '1' })))
      rows.push(row('leadline logs, summary', command(file, {})))
      rows.push(row('grep -c error', cpuSeconds('grep', ['-c', 'error', file])))
      rows.push(row('wc -l', cpuSeconds('wc', ['-l', file])))
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  return rows
}

/** A service in one layout, with some traces. */
function service(): string[] {
  const next = random(1)
  const texts = [
    'order # placed in # ms',
    'cache miss for key cart:#',
    'connection to 10.0.0.# refused',
    'GET /api/v1/cart/# 200 # bytes',
    'user # signed in from 10.1.#.7',
  ]
  const lines: string[] = []
  while (lines.length < LINES) {
    const time = new Date(1_714_650_000_000 + lines.length * 7)
      .toISOString()
      .replace('T', ' ')
      .replace('.', ',')
      .slice(0, 23)
    const isBad = next() < 0.02
    const text = (texts[Math.floor(next() * texts.length)] ?? '').replaceAll('#', () =>
      String(Math.floor(next() * 9999)),
    )
    lines.push(`${time} ${isBad ? 'ERROR' : 'INFO'} [worker-${Math.floor(next() * 16)}] com.acme.shop.Orders: ${text}`)
    if (isBad)
      lines.push(
        'java.lang.IllegalStateException: no stock',
        '\tat com.acme.Stock.take(Stock.java:41)',
        '\t... 12 more',
      )
  }
  return lines
}

/** The logs of the tests, over and over; but no line twice, as its numbers are others each time. */
function everyKind(): string[] {
  const next = random(2)
  const kinds = cases(readFileSync(join(ROOT, 'test/processors/log_fingerprint/kinds.txt'), 'utf8')).flatMap(
    ({ log }) => log.trimEnd().split('\n'),
  )
  return Array.from({ length: LINES }, (_, i) => {
    const line = kinds[i % kinds.length] ?? ''
    return line.slice(0, 24) + line.slice(24).replaceAll(/\d/g, () => String(Math.floor(next() * 10)))
  })
}

/** As it ships: in one block (otel-config/bundle.mjs). */
async function shipped(folder: string): Promise<Definition> {
  const file = join(folder, 'log_fingerprint.cjs')
  const entryPoints = [join(ROOT, 'processors/log_fingerprint/index.ts')]
  await build({ entryPoints, outfile: file, bundle: true, platform: 'node', format: 'cjs', minifySyntax: true })
  return (createRequire(file)(file) as { default: Definition }).default
}

async function processor(bytes: Buffer, definition: Definition): Promise<number> {
  const { MeterProvider } = await import('@opentelemetry/sdk-metrics')
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const settings = z.parse(definition.config, {})
  const context = { host: {} as Host, log, meter: new MeterProvider().getMeter('bench'), id: 'log_fingerprint' }
  const running = await definition.start(settings, context)
  const stream = { subject: cgroup(7), source: 'stdout/stderr' }
  const read = () => {
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.lastIndexOf(10, Math.min(bytes.length - 1, at + CHUNK_BYTES)) + 1
      running.consumeLogs?.('bench', [{ stream, bytes: bytes.subarray(at, end) }])
      at = end
    }
    running.process(batch([], 2000, 'bench'))
  }
  read()
  const before = process.cpuUsage()
  read()
  return process.cpuUsage(before).user / 1e6
}

const command = (file: string, environment: Readonly<Record<string, string>>) =>
  cpuSeconds('sh', [join(ROOT, 'otel-config/bin/leadline'), 'logs', file], environment)

/** User and system time of a process and its children, start-up included. */
function cpuSeconds(name: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): number {
  // Into a pipe: grep ends at its first match when its output is /dev/null.
  const script = 'TIMEFORMAT="%U %S"; { time "$@" 2>/dev/null | cat >/dev/null; } 2>&1'
  const { stdout } = spawnSync('bash', ['-c', script, 'bash', name, ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C', ...environment },
  })
  return stdout
    .trim()
    .split(' ')
    .map(Number)
    .reduce((a, b) => a + b, 0)
}

const round2 = (value: number) => Math.round(value * 100) / 100
