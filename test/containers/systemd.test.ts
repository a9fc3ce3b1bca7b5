// The agent as a unit of a machine whose PID 1 is systemd: units by the persistent journal, which is rotated meanwhile.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../../native/paths.ts'
import { atEnd } from '../ending.ts'
import { faults, readLedger } from '../log_ledger.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { startSystemd } from './systemd.ts'

const LINES = 4000

test(
  'where systemd is PID 1 every line of a unit comes once, over a restart and a rotation',
  requires('root', 'addon', 'docker', 'debootstrap'),
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'leadline-systemd-'))
    atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
    const machine = await startSystemd(t, [
      `${folder}:${folder}`,
      `${root}:${root}:ro`,
      `${process.execPath}:/usr/local/bin/node:ro`,
      `${buildTool('log_writer')}:/usr/local/bin/log_writer:ro`,
    ])
    // With that directory journald keeps what it has over a boot (systemd-journald(8)).
    await machine.run('mkdir', '-p', '/var/log/journal')
    await machine.run('journalctl', '--flush')
    const include = { names: ['^/system.slice/writer'] }
    const agents = { both: '', directory: '/var/log/journal' }
    const start = async (label: string, directory: string, life: number) => {
      const config = { storage: join(folder, label), include, journald: { directory } }
      const given = JSON.stringify({ ledger: join(folder, `${label}.ledger`), config })
      const unit = `--unit=agent-${label}-${life}`
      await machine.run('systemd-run', '--collect', unit, 'node', join(root, 'test/log_ledger.ts'), given)
      await until('it reads', async () => {
        const told = await machine.run('journalctl', '--output=cat', `--unit=agent-${label}-${life}`)
        return told.includes('ready')
      })
    }
    const seen = (label: string) => {
      try {
        return readLedger(join(folder, `${label}.ledger`)).get('/system.slice/writer.service journald')
      } catch {
        return undefined
      }
    }
    for (const [label, directory] of Object.entries(agents)) await start(label, directory, 1)
    await machine.run('systemd-run', '--unit=writer', 'log_writer', `${LINES}`, '800')
    await until('some lines came', () => Object.keys(agents).every((label) => (seen(label)?.lines ?? 0) > 500), {
      deadlineMs: 20_000,
    })
    for (const label of Object.keys(agents)) await machine.run('systemctl', 'stop', `agent-${label}-1`)
    await machine.run('journalctl', '--rotate')
    for (const [label, directory] of Object.entries(agents)) await start(label, directory, 2)
    const isAll = () => Object.keys(agents).every((label) => seen(label)?.times.size === LINES)
    await until('all came', isAll, { deadlineMs: 20_000 }).catch(() => {})
    // What systemd says of the unit in the unit's own name.
    const told = await machine.run('journalctl', '--output=cat', '_SYSTEMD_UNIT=writer.service')
    const others = told.split('\n').filter((line) => !line.startsWith('seq='))
    t.diagnostic(`not of the writer: ${others.join(' | ')}`)
    for (const label of Object.keys(agents)) {
      const expected = { missing: 0, again: 0, damaged: others.length }
      assert.deepEqual({ label, ...faults(seen(label), LINES) }, { label, ...expected })
    }
  },
)
