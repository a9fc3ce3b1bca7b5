// Real Docker containers write numbered lines; every number reaches the consumer once, whatever happens to files and agent.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../ending.ts'
import { endReader, faults, type Given, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Container, startDocker } from './docker.ts'

const SOURCE = 'stdout/stderr'
const CLEAN = { missing: 0, again: 0, damaged: 0 }
/** Lines that are written each time it was silent; one alone has a time, that of its file. */
const BURSTS = [1, 1, 1, 5]
/** The kernel may stamp files by the tick, of which there are 100 a second at least (CONFIG_HZ). */
const TICK_MS = 11

function ledgerOf(t: TestContext, config: object = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-logs-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  const given: Given = {
    ledger: join(folder, 'ledger'),
    config: { storage: join(folder, 'storage'), include: { names: ['^/docker/leadline-logs-'] }, ...config },
  }
  return {
    async start() {
      const child = await startReader(given)
      atEnd(t, () => void child.kill('SIGKILL'))
      return {
        end: (signal: NodeJS.Signals = 'SIGTERM') => endReader(child, signal),
      }
    },
    seen: ({ id }: Container) => readLedger(given.ledger).get(`/docker/${id} ${SOURCE}`),
    /** Whether the reader has noted where it is in that log. */
    isPlaced: ({ id }: Container) => readFileSync(join(folder, 'storage/container_logs.offsets'), 'utf8').includes(id),
  }
}

test(
  'of ten containers every line comes, and few again, however often the agent is killed',
  requires('root', 'addon', 'docker'),
  async (t) => {
    const count = 20_000
    const docker = await startDocker(t, 'logs')
    const ledger = ledgerOf(t)
    let reader = await ledger.start()
    const flags = ['--log-opt', 'max-size=500k', '--log-opt', 'max-file=100']
    const boxes = await Promise.all(
      Array.from({ length: 10 }, () => docker.run('killed', { flags, command: ['log_writer', `${count}`, '3000'] })),
    )
    for (let kill = 0; kill < 4; kill++) {
      await sleep(700)
      await reader.end('SIGKILL')
      reader = await ledger.start()
    }
    const isAll = () => boxes.every((box) => ledger.seen(box)?.times.size === count)
    await until('all lines came', isAll, { deadlineMs: 40_000, everyMs: 500 }).catch(() => {})
    let again = 0
    for (const box of boxes) {
      const found = faults(ledger.seen(box), count)
      again += found.again
      assert.deepEqual({ ...found, again: 0 }, CLEAN)
    }
    t.diagnostic(`${again} lines of ${10 * count} came again after 4 times SIGKILL`)
    // What was handed on and not noted when the agent was killed: at most one piece of one log each time.
    assert.ok(again < 4 * 60, `${again} came again`)
  },
)

test(
  'containers are chosen by name, label and runtime, and exclude wins',
  requires('root', 'addon', 'docker'),
  async (t) => {
    const docker = await startDocker(t, 'logs')
    const ledger = ledgerOf(t, {
      include: { names: ['^/docker/leadline-logs-.*-byname$'], labels: { team: '^shop$' } },
      exclude: { labels: { noisy: '.*' } },
    })
    await ledger.start()
    const run = (label: string, ...flags: string[]) =>
      docker.run(label, { flags, command: ['sh', '-c', 'log_writer 10 0; sleep 100'] })
    const [named, labelled, excluded, other] = await Promise.all([
      run('byname'),
      run('bylabel', '--label', 'team=shop'),
      run('byname', '--label', 'team=shop', '--label', 'noisy=yes'),
      run('other', '--label', 'team=shopping'),
    ])
    await until(
      'the chosen ones are read',
      () => ledger.seen(named)?.lines === 10 && ledger.seen(labelled)?.lines === 10,
    )
    await sleep(1000)
    assert.equal(ledger.seen(excluded), undefined)
    assert.equal(ledger.seen(other), undefined)
  },
)

test('a container that logs and is gone again is not missed', requires('root', 'addon', 'docker'), async (t) => {
  const docker = await startDocker(t, 'logs')
  const ledger = ledgerOf(t)
  await ledger.start()
  const short = []
  for (let i = 0; i < 5; i++) {
    const flags = i % 2 === 0 ? ['--rm'] : []
    short.push(await docker.run('short', { flags, command: ['log_writer', '20', '0'] }))
  }
  for (const container of short) {
    await until('its lines came', () => (ledger.seen(container)?.lines ?? 0) >= 20)
    assert.deepEqual(faults(ledger.seen(container), 20), CLEAN)
  }
})

test(
  'lines from before the agent are left alone, those after it come within a second',
  requires('root', 'addon', 'docker'),
  async (t) => {
    const docker = await startDocker(t, 'logs')
    const ledger = ledgerOf(t)
    const onGo = 'until [ -e /go ]; do usleep 20000; done; rm /go; log_writer $n 0'
    const command = ['sh', '-c', `log_writer 998 0; for n in ${BURSTS.join(' ')}; do ${onGo}; done; sleep 100`]
    const box = await docker.run('old', { command })
    const file = await docker.docker('inspect', '--format', '{{.LogPath}}', box.id)
    // The daemon reads stdout and stderr each by itself: the last line of one may come after the last of the other.
    const hasWritten = () => ['seq=994 ', 'seq=997 '].every((line) => readFileSync(file, 'utf8').includes(line))
    await until('both streams are written to their ends', hasWritten, { deadlineMs: 60_000 })
    await ledger.start()
    await until('the reader is at the end of it', () => ledger.isPlaced(box), { deadlineMs: 30_000 })
    const tookMs: number[] = []
    let lines = 0
    for (const count of BURSTS) {
      await sleep(1500)
      assert.equal(ledger.seen(box)?.lines ?? 0, lines)
      await docker.docker('exec', box.id, 'sh', '-c', '> /go')
      lines += count
      await until('the lines came', () => ledger.seen(box)?.lines === lines, { everyMs: 10, deadlineMs: 30_000 })
      // How late the daemon or this process are does not count: it is the file's own time, and the reader's.
      if (count === 1) tookMs.push((ledger.seen(box)?.lastMs ?? Number.NaN) - statSync(file).mtimeMs)
    }
    t.diagnostic(`${tookMs.map(Math.round)} ms after the daemon wrote them`)
    for (const ms of tookMs) assert.ok(ms > -TICK_MS && ms < 1000, `${ms} ms`)
    assert.equal(ledger.seen(box)?.times.size, 5)
    assert.equal(ledger.seen(box)?.damaged, 0)
  },
)

test(
  'a container that writes and ends while no agent is there is read to its end by the next one',
  requires('root', 'addon', 'docker'),
  async (t) => {
    const docker = await startDocker(t, 'logs')
    const ledger = ledgerOf(t)
    const reader = await ledger.start()
    const box = await docker.run('ends', { command: ['log_writer', '3000', '1500'] })
    await until('some lines came', () => (ledger.seen(box)?.lines ?? 0) > 500)
    await reader.end('SIGTERM')
    await docker.docker('wait', box.id)
    await ledger.start()
    await until('all lines came', () => ledger.seen(box)?.times.size === 3000, { deadlineMs: 20_000 }).catch(() => {})
    assert.deepEqual(faults(ledger.seen(box), 3000), CLEAN)
  },
)

for (const [how, flags] of Object.entries({
  'no rotation': [],
  'rotations that compress': ['--log-opt', 'max-size=300k', '--log-opt', 'max-file=100', '--log-opt', 'compress=true'],
  rotations: ['--log-opt', 'max-size=200k', '--log-opt', 'max-file=200'],
  'the driver local': ['--log-driver', 'local', '--log-opt', 'max-size=400k', '--log-opt', 'max-file=100'],
})) {
  test(`with ${how} every line comes once, also over restarts`, requires('root', 'addon', 'docker'), async (t) => {
    const count = 20_000
    const docker = await startDocker(t, 'logs')
    const ledger = ledgerOf(t)
    let reader = await ledger.start()
    const boxes = await Promise.all(
      Array.from({ length: 4 }, () => docker.run('writer', { flags, command: ['log_writer', `${count}`, '4000'] })),
    )
    await sleep(1500)
    await reader.end('SIGTERM')
    await sleep(1000)
    reader = await ledger.start()
    const came = () => boxes.map((box) => ledger.seen(box)?.times.size ?? 0)
    await until('all lines came', () => came().every((lines) => lines === count), { deadlineMs: 40_000 }).catch(
      () => {},
    )
    for (const box of boxes) assert.deepEqual(faults(ledger.seen(box), count), CLEAN)
    await reader.end()
  })
}
