// Real containers, the real host, and what the table says of them in the end.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNoopMeter } from '@opentelemetry/api'
import * as z from 'zod/mini'
import definition from '../../processors/container_attribution/index.ts'
import { hostResource } from '../../processors/host_resource.ts'
import type { Point } from '../../processors/processor.ts'
import { createTable } from '../../processors/table.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import type { Logger, Metric } from '../../receivers/receiver.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { startDocker } from './docker.ts'

const usage: Metric = { kind: 'counter', unit: 's', description: 'CPU time.' }
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

async function setUp() {
  const host = await startHost({ log: silent, settings: z.parse(hostSettings, {}) })
  const processor = await definition.start(z.parse(definition.config, {}), {
    host,
    log: silent,
    meter: createNoopMeter(),
    id: 'container_attribution',
  })
  const table = createTable({
    view: {
      names: 'prometheus',
      resource: () => hostResource(host.identity),
      attributes: (point) => ({ ...point.resource?.labels, ...point.attributes }),
    },
  })
  let value = 0
  return {
    host,
    /** One collection: a second of CPU for every cgroup that lives. */
    async collect() {
      await host.refresh(2000)
      value++
      const points = [...host.cgroups()].map(
        (subject): Point => ({ subject, name: 'usage', metric: usage, value, attributes: {}, resource: undefined }),
      )
      table.apply(processor.process({ receiver: 'cgroup', points, collectedMs: Date.now() }))
    },
    told: (metric: string, name: string) =>
      [...table.rows()].find((row) => row.name === metric && row.attributes.container_id === `/docker/${name}`),
  }
}

test(
  'a container is named, restarted, renamed and replaced, and its series tell so',
  requires('root', 'docker'),
  async (t) => {
    const { docker, run, name, image } = await startDocker(t, 'attribution')
    const { host, collect, told } = await setUp()
    atEnd(t, () => host.stop())
    /** The id of its cgroup, as the kernel has it for its first process. */
    const topId = async (id: string) => host.cgroupOf(Number(await docker('inspect', '-f', '{{.State.Pid}}', id)))?.id

    const web = await run('web', { command: ['sleep', '1000'] })
    await until(collect, () => told('container.info', web.name)?.attributes.image === image)
    assert.equal(told('container.restarts', web.name)?.value, 0)
    const first = await topId(web.id)
    const used = told('usage', web.name)?.value ?? Number.NaN

    await docker('restart', '-t', '0', web.id)
    await until(collect, () => told('container.restarts', web.name)?.value === 1)
    assert.notEqual(await topId(web.id), first)
    assert.ok((told('usage', web.name)?.value ?? 0) > used * 2, 'what the first life used, and the second')

    const shop = name('shop')
    await docker('rename', web.id, shop)
    await until(collect, () => told('container.info', shop) !== undefined)
    assert.equal(told('container.info', web.name), undefined)

    await docker('rm', '-f', web.id)
    await until(collect, () => told('container.info', shop) === undefined)
    const before = told('container.restarts', shop)?.value ?? 0
    const replacement = await run('other', { command: ['sleep', '1000'] })
    await docker('rename', replacement.id, shop)
    await until(collect, () => told('container.restarts', shop)?.value === before + 1)
  },
)

async function until(collect: () => Promise<void>, holds: () => boolean, deadlineMs = 20_000) {
  const end = Date.now() + deadlineMs
  for (;;) {
    await collect()
    if (holds()) return
    assert.ok(Date.now() < end, 'it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
