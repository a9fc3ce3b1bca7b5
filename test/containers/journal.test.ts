// The journal of a real journald: a unit's lines with their severities, the kernel's, and a container of Docker's
// journald driver; over a restart of the reader.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { metrics } from '@opentelemetry/api'
import * as z from 'zod/mini'
import containerLogs from '../../receivers/container_logs/index.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { atEnd } from '../ending.ts'
import { endReader, faults, readLedger, startReader } from '../log_ledger.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'
import { makeUnit, startJournald } from './journald.ts'

/** What the addon loads. */
const libsystemd = globSync('/lib/*/libsystemd.so.0').map((path) => realpathSync(path))

const childrenOf = ({ pid }: ChildProcess): string =>
  spawnSync('ps', ['--ppid', `${pid}`, '-o', 'comm='], { encoding: 'utf8' }).stdout.trim()

const CLEAN = { missing: 0, again: 0, damaged: 0 }

/** Returns what runs a command in a unit of that name. */
function unit(t: TestContext, name: string) {
  const { enter, remove } = makeUnit(name)
  atEnd(t, remove)
  return (command: string) =>
    new Promise((resolve) => spawn('sh', ['-c', `${enter} && ${command}`], { stdio: 'ignore' }).once('exit', resolve))
}

for (const [how, lacks] of Object.entries({ libsystemd: [], 'a journalctl child': libsystemd })) {
  test(
    `by ${how} lines of a unit and of a container come once, also over a restart`,
    requires('root', 'addon', 'docker', 'journald'),
    async (t) => {
      await startJournald(t)
      const folder = mkdtempSync(join(tmpdir(), 'leadline-journal-'))
      atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
      const docker = await startDocker(t, 'journal')
      const run = unit(t, `leadline-${process.pid}`)
      const ledger = join(folder, 'ledger')
      const include = { names: ['^/docker/leadline-journal-', '^/system.slice/leadline-'] }
      const given = { ledger, config: { storage: join(folder, 'storage'), include }, lacks }
      const first = await startReader(given)
      assert.equal(childrenOf(first), lacks.length > 0 ? 'journalctl' : '')
      const written = run(`${buildTool('log_writer')} 3000 1000 2>&1 | systemd-cat`)
      const box = await docker.run('box', {
        flags: ['--log-driver', 'journald'],
        command: ['log_writer', '3000', '1000'],
      })
      const seen = (key: string) => readLedger(ledger).get(key)
      const ofUnit = `/system.slice/leadline-${process.pid}.service journald`
      const ofBox = `/docker/${box.id} stdout/stderr`
      await until('some lines came', () => (seen(ofUnit)?.lines ?? 0) > 500 && (seen(ofBox)?.lines ?? 0) > 500, {
        deadlineMs: 20_000,
      })
      await endReader(first, 'SIGTERM')
      await docker.docker('wait', box.id) // nobody is there to see it end
      const second = await startReader(given)
      atEnd(t, () => void second.kill('SIGKILL'))
      await written
      await until('all came', () => seen(ofUnit)?.times.size === 3000 && seen(ofBox)?.times.size === 3000, {
        deadlineMs: 20_000,
      }).catch(() => {})
      assert.deepEqual(faults(seen(ofUnit), 3000), CLEAN)
      assert.deepEqual(faults(seen(ofBox), 3000), CLEAN)
    },
  )
}

test(
  'severities are those of the journal, and the kernel speaks for the node',
  requires('root', 'addon', 'journald'),
  async (t) => {
    await startJournald(t)
    const run = unit(t, `leadline-severity-${process.pid}`)
    const host = await startHost({ log: listeningLog(), settings: z.parse(hostSettings, {}) })
    const lines: string[] = []
    const config = z.parse(containerLogs.config, { storage: '' })
    const context = { host, log: listeningLog(), meter: metrics.getMeter('test'), id: 'container_logs' }
    const receiver = await containerLogs.start(config, {
      ...context,
      logs(chunks) {
        for (const { stream, bytes, severities } of chunks) {
          const who = stream.subject.kind === 'node' ? 'node' : stream.subject.path
          for (const [i, line] of bytes.toString().trimEnd().split('\n').entries()) {
            lines.push(`${who} ${stream.source} ${severities?.[i]} ${line}`)
          }
        }
      },
    })
    atEnd(t, async () => {
      await receiver.stop?.()
      await host.stop()
    })
    // Of one that is gone at once journald does not find out whose it was.
    await run('(echo broken; sleep 1) | systemd-cat -p err; (echo fine; sleep 1) | systemd-cat -p info')
    const path = `/system.slice/leadline-severity-${process.pid}.service journald`
    for (const wanted of [`${path} 3 broken`, `${path} 6 fine`]) await until(wanted, () => lines.includes(wanted))
    // A journald that has just started is told of the kernel's messages only when there is a next one.
    await until('the kernel is heard', () => {
      writeFileSync('/dev/kmsg', `<4>leadline test ${process.pid}`)
      return lines.includes(`node journald 4 leadline test ${process.pid}`)
    })
  },
)

test(
  'where the host is mounted elsewhere, its journals are read there',
  requires('root', 'addon', 'journald'),
  async (t) => {
    await startJournald(t)
    const folder = mkdtempSync(join(tmpdir(), 'leadline-journal-'))
    atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
    const root = join(folder, 'host')
    mkdirSync(root)
    const run = unit(t, `leadline-elsewhere-${process.pid}`)
    const ledger = join(folder, 'ledger')
    const config = { storage: join(folder, 'storage'), include: { names: ['^/system.slice/leadline-elsewhere-'] } }
    const reader = await startReader({ ledger, config, host: { root_path: root }, root })
    atEnd(t, () => void reader.kill('SIGKILL'))
    await run(`(${buildTool('log_writer')} 200 200; sleep 1) 2>&1 | systemd-cat`)
    const seen = () => readLedger(ledger).get(`/system.slice/leadline-elsewhere-${process.pid}.service journald`)
    await until('all came', () => seen()?.times.size === 200, { deadlineMs: 20_000 }).catch(() => {})
    assert.deepEqual(faults(seen(), 200), CLEAN)
  },
)
