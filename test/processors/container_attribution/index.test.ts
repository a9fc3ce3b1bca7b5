// Whose a point is: a container's, the machine's or nobody's, and which of them are wanted.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as z from 'zod/mini'
import definition from '../../../processors/container_attribution/index.ts'
import { batch, cgroup, point } from '../given.ts'
import { container, given, machine, NODE, started } from './given.ts'

test('a point of a container says whose it is, and on which machine', async () => {
  const { host, runs } = machine()
  const top = cgroup(1)
  runs(container('web', top, { appId: '/k8s/shop/web' }))
  const { process, outcomes } = await started(host)
  const { points } = process(batch([point({ subject: top, value: 5 })]))
  assert.deepEqual(given(points)[0]?.resource, {
    attributes: {
      'host.name': 'box',
      'host.id': 'b7fd4e2d',
      'host.arch': 'amd64',
      'os.type': 'linux',
      'os.version': '6.18.5',
      'container.name': 'web',
      'container.runtime.name': 'docker',
    },
    labels: { container_id: '/docker/web', app_id: '/k8s/shop/web' },
  })
  assert.deepEqual(await outcomes(), { attributed: 1 })
})

test('all points of one container carry one object, in every batch and pipeline', async () => {
  const { host, runs } = machine()
  const top = cgroup(1)
  const nested = cgroup(2)
  runs(container('web', top), nested)
  const [one, other] = [await started(host), await started(host)]
  const subjects = [top, nested].map((subject) => point({ subject, value: 5 }))
  const resources = [
    one.process(batch(subjects)),
    one.process(batch(subjects)),
    other.process(batch(subjects)),
  ].flatMap(({ points }) => points.map((each) => each.resource))
  assert.equal(new Set(resources).size, 1)
})

test('the node is attributed to the machine', async () => {
  const { process } = await started(machine().host)
  const [one] = process(batch([point({ subject: NODE, value: 1 })])).points
  assert.equal(one?.resource?.attributes['host.name'], 'box')
  assert.deepEqual(one?.resource?.labels, {})
})

test('a cgroup of no container is left out and counted', async () => {
  const { process, outcomes } = await started(machine().host)
  assert.deepEqual(process(batch([point({ subject: cgroup(1), value: 1 })])).points, [])
  assert.deepEqual(await outcomes(), { unattributed: 1 })
})

test('a point whose runtime has not answered waits for the next collection', async () => {
  const { host, runs, set } = machine()
  const top = cgroup(1)
  set(top, { state: 'pending' })
  const { process, outcomes } = await started(host)
  const points = () => [point({ subject: top, value: 1 })]
  assert.deepEqual(process(batch(points())).points, [])
  runs(container('web', top))
  assert.equal(given(process(batch(points())).points).length, 1)
  assert.deepEqual(await outcomes(), { pending: 1, attributed: 1 })
})

test('the batch that came in is left as it was', async () => {
  const { process } = await started(machine().host)
  const before = batch([point({ subject: cgroup(1), value: 1 })])
  process(before)
  assert.equal(before.points.length, 1)
})

test('deny wins over allow, and both look at the container_id', async () => {
  const { host, runs } = machine()
  const subjects = ['web', 'web-canary', 'db'].map((name, id) => {
    const top = cgroup(id)
    runs(container(name, top))
    return point({ subject: top, value: 1 })
  })
  const { process, outcomes } = await started(host, {
    container_allowlist: ['^/docker/web', '^/k8s/'],
    container_denylist: ['canary$'],
  })
  const { points } = process(batch(subjects))
  assert.deepEqual([...new Set(points.map((one) => one.resource?.labels.container_id))], ['/docker/web'])
  assert.deepEqual(await outcomes(), { attributed: 1, denied: 2 })
})

test('a pattern that is none is told in the check of the configuration', () => {
  const { error } = z.safeParse(definition.config, { container_denylist: ['ok', '('] })
  assert.deepEqual(
    error?.issues.map((issue) => [issue.path.join('::'), issue.message]),
    [['container_denylist::1', 'expected a regular expression, got "("']],
  )
})
