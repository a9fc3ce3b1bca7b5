// Who answered, as a label: only where somebody knows, and only on metrics that have it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNoopMeter } from '@opentelemetry/api'
import natResolution from '../../../processors/nat_resolution/index.ts'
import type { Batch, Point } from '../../../processors/processor.ts'
import type { Cgroup, Flow, Host } from '../../../receivers/host/host.ts'
import type { Attributes, Metric, Subject } from '../../../receivers/receiver.ts'
import { listeningLog } from '../../receivers/quiet.ts'

const cgroup: Cgroup = { kind: 'cgroup', id: 7, path: '/docker/a', bornMs: 1, endedMs: undefined }
const flow = (actualDestination: string | undefined): Flow => ({
  kind: 'flow',
  key: 'k',
  cgroup,
  bornMs: 1,
  endedMs: undefined,
  actualDestination,
})
const both: Metric = { kind: 'counter', unit: '', description: '', attributes: ['destination', 'actual_destination'] }
const one: Metric = { kind: 'counter', unit: '', description: '', attributes: ['destination'] }
const DIALLED: Attributes = Object.freeze({ destination: '10.96.0.1:80' })

async function processed(settings: { network_peer: boolean }, subject: Subject, metric: Metric): Promise<Attributes> {
  const context = { host: {} as Host, log: listeningLog(), meter: createNoopMeter(), id: 'nat_resolution' }
  const processor = await natResolution.start(settings, context)
  const point: Point = { subject, name: 'x', metric, value: 1, attributes: DIALLED, resource: undefined }
  const batch: Batch = { receiver: 'r', points: [point], collectedMs: 0 }
  const [first] = processor.process(batch).points
  const attributes = first?.attributes ?? {}
  const [again] = processor.process({ ...batch, points: [{ ...point, attributes: DIALLED }] }).points
  assert.equal(again?.attributes, attributes) // one object for ever, so that it is interned by identity
  return attributes
}

test('the answer stands beside what was dialled', async () => {
  const attributes = await processed({ network_peer: false }, flow('10.1.0.2:8080'), both)
  assert.deepEqual(attributes, { destination: '10.96.0.1:80', actual_destination: '10.1.0.2:8080' })
})

test('by switch in the words of OpenTelemetry as well; not for a folded network', async () => {
  const v4 = await processed({ network_peer: true }, flow('10.1.0.2:8080'), both)
  assert.deepEqual([v4['network.peer.address'], v4['network.peer.port']], ['10.1.0.2', '8080'])
  const v6 = await processed({ network_peer: true }, flow('[fd00::2]:80'), both)
  assert.deepEqual([v6['network.peer.address'], v6['network.peer.port']], ['fd00::2', '80'])
  const folded = await processed({ network_peer: true }, flow('public:80'), both)
  assert.equal(folded['network.peer.address'], undefined)
})

test('nothing is added where nobody knows, to other metrics, or to other subjects', async () => {
  const off = { network_peer: false }
  assert.equal(await processed(off, flow(undefined), both), DIALLED)
  assert.equal(await processed(off, flow('10.1.0.2:80'), one), DIALLED)
  assert.equal(await processed(off, cgroup, both), DIALLED)
})
