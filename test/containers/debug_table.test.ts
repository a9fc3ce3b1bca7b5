// The table of the debug exporter: each one, not only the first, tells what containers did since the one before.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startAgent } from '../agent.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

const needs = requires('root', 'docker')

test('every table has the rates since the one before it, of the containers that are left', needs, async (t) => {
  const docker = await startDocker(t, 'table')
  const burner = await docker.run('burner', { flags: ['--cpus', '0.3'], command: ['burner', '1'] })
  const sleeper = await docker.run('sleeper', { command: ['sleep', '600'] })
  // Collected more often than printed, as by default.
  const receiver = { collection_interval: '300ms' }
  const agent = await startAgent(t, {
    receivers: { cgroup: receiver, delay_accounting: receiver },
    exporters: { debug: { interval: '1s' } },
  })
  const tables = () => agent.printed().split(/^(?=.* containers, per second over )/m)
  const rowOf = (table: string, { name }: { name: string }) => table.split('\n').find((line) => line.includes(name))
  const cpuOf = (table: string) => Number(/ (\d+\.\d\d) /.exec(rowOf(table, burner) ?? '')?.[1])
  await until('four tables', () => tables().length > 4, { deadlineMs: 30_000 })
  const [first, ...later] = tables().slice(0, 4)
  assert.ok(rowOf(first ?? '', sleeper))
  // The first is of less than a second, in which the limit of 0.03 s in each 0.1 s may just have been used up.
  for (const table of later) assert.ok(cpuOf(table) > 0.2 && cpuOf(table) < 0.4, table)
  await docker.remove(sleeper)
  const seen = tables().length
  await until('two tables more', () => tables().length > seen + 2, { deadlineMs: 30_000 })
  const last = tables().at(-2) ?? ''
  assert.ok(rowOf(last, burner), last)
  assert.equal(rowOf(last, sleeper), undefined)
})
