// One container writes 200 MB a second: memory stays as it is, others are read meanwhile, every byte is read or counted.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../ending.ts'
import { askReader, faults, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

const MIB = 1 << 20
const FLOOD = '/var/log/flood.log'
const STEPS = 100
const STEP_MIB = 10
const QUIET_LINES = 900

test('a flood in one container does not reach the others', requires('root', 'addon', 'docker'), async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-flood-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  const docker = await startDocker(t, 'flood')
  const ledger = join(folder, 'ledger')
  const reader = await startReader({
    ledger,
    config: {
      storage: join(folder, 'storage'),
      include: { names: ['^/docker/leadline-flood-'] },
      max_lag_size: '64MiB',
    },
  })
  atEnd(t, () => void reader.kill('SIGKILL'))
  const line = 'a line of a log as programs write them, again and again and again and again'
  const flood = await docker.run('flood', {
    command: [
      'sh',
      '-c',
      `busybox mkdir -p /var/log; exec 3>>${FLOOD}; yes ${line} | busybox head -c ${STEP_MIB * MIB} > /tmp/step
       until [ -e /go ]; do usleep 20000; done
       for i in $(seq ${STEPS}); do cat /tmp/step >&3; usleep 30000; done; echo >&3; sleep 1000`,
    ],
  })
  const quiet = await docker.run('quiet', {
    command: ['sh', '-c', `until [ -e /go ]; do usleep 20000; done; log_writer ${QUIET_LINES} 100; sleep 1000`],
  })
  await sleep(6000) // its open file is found
  const before = await askReader(reader)
  for (const { id } of [flood, quiet]) await docker.docker('exec', id, 'sh', '-c', '> /go')

  const written = STEPS * STEP_MIB * MIB + 1
  const read = ({ sums }: typeof before) => sums[`${FLOOD} container.log.read`] ?? 0
  const skipped = ({ sums }: typeof before) => sums[`${FLOOD} container.log.skipped`] ?? 0
  const linesOfQuiet = () => readLedger(ledger).get(`/docker/${quiet.id} stdout/stderr`)
  let rss = 0
  let longestTurnMs = 0
  let quietMeanwhile = 0
  const startMs = performance.now()
  let floodMs = 0
  await until(
    'the flood is read',
    async () => {
      const now = await askReader(reader)
      rss = Math.max(rss, now.rss)
      longestTurnMs = Math.max(longestTurnMs, now.longestTurnMs)
      if (read(now) + skipped(now) < written) quietMeanwhile = linesOfQuiet()?.lines ?? 0
      else floodMs = performance.now() - startMs
      return floodMs > 0
    },
    { deadlineMs: 60_000, everyMs: 200 },
  )
  const after = await askReader(reader)
  assert.equal(read(after) + skipped(after), written)
  assert.ok(quietMeanwhile > 0, 'the other container was heard only when the flood had ended')
  assert.ok(rss - before.rss < 100 * MIB, `${rss - before.rss} bytes of memory more`)
  await until('the other container is read', () => linesOfQuiet()?.lines === QUIET_LINES, { deadlineMs: 20_000 })
  assert.deepEqual(faults(linesOfQuiet(), QUIET_LINES), { missing: 0, again: 0, damaged: 0 })
  t.diagnostic(
    `${(written / MIB / (floodMs / 1000)).toFixed()} MiB/s, ${(skipped(after) / MIB).toFixed()} MiB skipped; memory ` +
      `${[before.rss, rss, after.rss].map((bytes) => (bytes / MIB).toFixed()).join(' → ')} MiB; longest turn ` +
      `${longestTurnMs.toFixed(1)} ms; ${quietMeanwhile} lines of the other in ${(floodMs / 1000).toFixed(1)} s`,
  )
})
