// Fifty containers write ten million numbered lines, their logs are rotated, the agent is killed and ended again and
// again: every number comes, and hardly one comes twice. Takes minutes and gigabytes, so it runs with LEADLINE_LONG=1;
// LEADLINE_LONG_LINES=40000 takes fewer lines per container, and what runs always is a hundredth of it.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import { faults, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'

const isLong = process.env.LEADLINE_LONG === '1'
const LINES = isLong ? Number(process.env.LEADLINE_LONG_LINES ?? 200_000) : 10_000
const CONTAINERS = isLong ? 50 : 10
const PER_SECOND = isLong ? 1500 : 1000
const ROTATE_AT = isLong ? '4m' : '300k'
const ENDINGS: readonly NodeJS.Signals[] = [
  'SIGKILL',
  'SIGKILL',
  'SIGTERM',
  'SIGKILL',
  'SIGKILL',
  'SIGTERM',
  'SIGKILL',
  'SIGKILL',
]
const KILLS = ENDINGS.filter((signal) => signal === 'SIGKILL').length
/** What one kill may bring again: a piece of 8 KiB of one log (shares.ts) in lines of a byte and more. */
const MOST_AGAIN = 200

test(
  `${CONTAINERS * LINES} lines of ${CONTAINERS} containers come, whatever happens to files and agent`,
  requires('root', 'addon', 'docker'),
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'leadline-lines-'))
    atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
    const docker = await startDocker(t, 'lines')
    const ledger = join(folder, 'ledger')
    const config = { storage: join(folder, 'storage'), include: { names: ['^/docker/leadline-lines-'] } }
    const start = async () => {
      const child = await startReader({ ledger, config })
      atEnd(t, () => void child.kill('SIGKILL'))
      return child
    }
    let reader = await start()
    const flags = ['--log-opt', `max-size=${ROTATE_AT}`, '--log-opt', 'max-file=500']
    const command = ['log_writer', `${LINES}`, `${PER_SECOND}`]
    const boxes = await Promise.all(Array.from({ length: CONTAINERS }, () => docker.run('box', { flags, command })))
    const everyMs = ((LINES / PER_SECOND) * 1000) / (ENDINGS.length + 1)
    for (const signal of ENDINGS) {
      await sleep(everyMs)
      const gone = new Promise((resolve) => reader.once('exit', resolve))
      reader.kill(signal)
      await gone
      reader = await start()
    }
    await docker.docker('wait', ...boxes.map(({ id }) => id))

    let streams = readLedger(ledger)
    const seen = ({ id }: { readonly id: string }) => streams.get(`/docker/${id} stdout/stderr`)
    const isAll = () => boxes.every((box) => seen(box)?.times.size === LINES)
    for (let tries = 0; tries < 60 && !isAll(); tries++) {
      await sleep(1000)
      streams = readLedger(ledger)
    }
    const sum = { missing: 0, again: 0, damaged: 0 }
    for (const box of boxes) {
      const { missing, again, damaged } = faults(seen(box), LINES)
      sum.missing += missing
      sum.again += again
      sum.damaged += damaged
    }
    t.diagnostic(
      `${JSON.stringify(sum)} of ${CONTAINERS * LINES} after ${KILLS} times SIGKILL and ${ENDINGS.length - KILLS} times SIGTERM`,
    )
    assert.deepEqual({ ...sum, again: 0 }, { missing: 0, again: 0, damaged: 0 })
    assert.ok(sum.again <= KILLS * MOST_AGAIN, `${sum.again} came again`)
  },
)
