// Fifty containers write ten million numbered lines, through Docker's drivers and into files of their own, their logs are
// rotated and truncated, the agent is killed and ended again and again: every number comes, and hardly one comes twice.
// Takes minutes and gigabytes, so it runs with LEADLINE_LONG=1; LEADLINE_LONG_LINES=40000 takes fewer lines per
// container, and what runs always is a hundredth of it.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import { endReader, faults, readLedger, startReader } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const isLong = process.env.LEADLINE_LONG === '1'
const LINES = isLong ? Number(process.env.LEADLINE_LONG_LINES ?? 200_000) : 10_000
const CONTAINERS = isLong ? 50 : 10
const PER_SECOND = isLong ? 750 : 1000
const ROTATE_AT = isLong ? '4m' : '300k'
const ROTATE_LINES = isLong ? 15_000 : 1500
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
/** What one kill may bring again: a piece of 4 KiB of one log (shares.ts), of lines that have 60 bytes and more on average. */
const MOST_AGAIN = 80
const OWN_FILE = '/var/log/app.log'

type Kind = {
  readonly name: string
  readonly source: string
  readonly flags: readonly string[]
  readonly command: readonly string[]
}

function docker(driver: string): Kind {
  const flags = ['--log-driver', driver, '--log-opt', `max-size=${ROTATE_AT}`, '--log-opt', 'max-file=500']
  return { name: driver, source: 'stdout/stderr', flags, command: ['log_writer', `${LINES}`, `${PER_SECOND}`] }
}

/** Its file stays open, so that an agent that is started when all is written finds it. */
function ownFile(how: 'rename' | 'copy'): Kind {
  const write = `log_writer ${LINES} ${PER_SECOND} ${OWN_FILE} ${ROTATE_LINES} 500 ${how}`
  const command = ['sh', '-c', `busybox mkdir -p /var/log; ${write}; exec 3>>${OWN_FILE}; exec sleep 10000`]
  return { name: `own file, ${how}`, source: OWN_FILE, flags: [], command }
}

const KINDS = [docker('json-file'), docker('json-file'), docker('local'), ownFile('rename'), ownFile('copy')]

test(
  `${CONTAINERS * LINES} lines of ${CONTAINERS} containers come, whatever happens to files and agent`,
  requires('root', 'addon', 'docker'),
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'leadline-lines-'))
    atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
    const daemon = await startDocker(t, 'lines')
    const ledger = join(folder, 'ledger')
    const config = {
      storage: join(folder, 'storage'),
      include: { names: ['^/docker/leadline-lines-'] },
      journald: { enabled: false },
    }
    const start = async () => {
      const child = await startReader({ ledger, config })
      atEnd(t, () => void child.kill('SIGKILL'))
      return child
    }
    let reader = await start()
    const boxes = await Promise.all(
      Array.from({ length: CONTAINERS }, async (_, i) => {
        const kind = KINDS[i % KINDS.length] as Kind
        return { ...(await daemon.run('box', kind)), kind: kind.name, source: kind.source }
      }),
    )
    const everyMs = ((LINES / PER_SECOND) * 1000) / (ENDINGS.length + 1)
    for (const signal of ENDINGS) {
      await sleep(everyMs)
      await endReader(reader, signal)
      reader = await start()
    }

    let streams = readLedger(ledger)
    const seen = ({ id, source }: (typeof boxes)[number]) => streams.get(`/docker/${id} ${source}`)
    const isAll = () => {
      streams = readLedger(ledger)
      return boxes.every((box) => seen(box)?.times.size === LINES)
    }
    await until('all lines came', isAll, { deadlineMs: isLong ? 600_000 : 60_000, everyMs: 1000 }).catch(() => {})
    const sum = { missing: 0, again: 0, damaged: 0 }
    for (const box of boxes) {
      const { missing, again, damaged } = faults(seen(box), LINES)
      if (missing + damaged + again > 0) t.diagnostic(`${box.kind}: ${JSON.stringify({ missing, again, damaged })}`)
      sum.missing += missing
      sum.again += again
      sum.damaged += damaged
    }
    t.diagnostic(
      `${JSON.stringify(sum)} of ${CONTAINERS * LINES} after ${KILLS} times SIGKILL and ${ENDINGS.length - KILLS} times SIGTERM`,
    )
    const expected = boxes.map(({ id, source }) => `/docker/${id} ${source}`)
    const others = [...streams.keys()].filter((key) => !expected.includes(key))
    assert.deepEqual(others, [], 'rotated files are no logs of their own')
    assert.deepEqual({ ...sum, again: 0 }, { missing: 0, again: 0, damaged: 0 })
    assert.ok(sum.again <= KILLS * MOST_AGAIN, `${sum.again} came again`)
  },
)
