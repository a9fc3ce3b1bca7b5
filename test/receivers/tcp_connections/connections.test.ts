// Connections that are told one by one, in whatever order the kernel and the knowledge of control groups bring them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cgroup } from '../../../receivers/host/host.ts'
import { createConnections, UNKNOWN } from '../../../receivers/tcp_connections/connections.ts'
import { withPort } from '../../../receivers/tcp_connections/filter.ts'
import { createFlows } from '../../../receivers/tcp_connections/flows.ts'
import type { Connection } from '../../../receivers/tcp_connections/records.ts'
import { CONNECTS, SENT } from '../../../receivers/tcp_connections/totals.ts'

const cgroup: Cgroup = { kind: 'cgroup', id: 7, path: '/docker/a', bornMs: 1, endedMs: undefined }

const told = (event: Connection['event'], more: Partial<Connection> = {}): Connection => ({
  event,
  socket: 'one',
  cgroup: cgroup.id,
  holderCgroup: 0,
  netns: 1,
  pid: 1,
  local: Buffer.from('00000000000000000000ffff0a4d0102', 'hex'),
  localPort: 40000,
  remote: Buffer.from('00000000000000000000ffff0a4d0202', 'hex'),
  remotePort: 80,
  sentBytes: 0,
  receivedBytes: 0,
  retransmits: 0,
  srttUs: 0,
  minRttUs: 0,
  connectUs: undefined,
  dialledNs: 1,
  drops: 0,
  failure: 0,
  active: event !== 'left' && event !== 'closed',
  resetReceived: false,
  v6only: false,
  ...more,
})

/** Connections of one control group, which is known from `known()` on. */
function started() {
  let isKnown = false
  const flows = createFlows({ maxPerCgroup: 10, forgetAfterMs: 1000, filter: withPort, hostNetns: 1 })
  const connections = createConnections({ cgroup: () => (isKnown ? cgroup : undefined) }, flows)
  const tell = (...all: Connection[]) =>
    connections.told(
      all,
      all.map(() => UNKNOWN),
    )
  return {
    tell,
    known() {
      isKnown = true
      tell()
    },
    now() {
      const [flow] = flows.all()
      if (flow) flow.active = 0
      connections.addActive()
      return [flow?.sums[CONNECTS], flow?.sums[SENT], flow?.active, connections.size]
    },
  }
}

test('one whose end is lost while its control group is not known yet has ended when that is', () => {
  const { tell, known, now } = started()
  tell(told('opened'))
  tell(told('end_lost', { sentBytes: 10 }))
  known()
  assert.deepEqual(now(), [1, 10, 0, 0])
})

test('one that its process has left is not active, and what it sends then is counted when it closes', () => {
  const { tell, known, now } = started()
  known()
  tell(told('opened'))
  assert.deepEqual(now(), [1, 0, 1, 1])
  tell(told('left', { sentBytes: 10 }))
  assert.deepEqual(now(), [1, 10, 0, 1])
  tell(told('closed', { sentBytes: 15 }))
  assert.deepEqual(now(), [1, 15, 0, 0])
})
