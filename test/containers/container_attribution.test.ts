// Real containers, the real host, and what the table says of them in the end.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createNoopMeter } from '@opentelemetry/api'
import * as z from 'zod/mini'
import definition from '../../processors/container_attribution/index.ts'
import { hostResource } from '../../processors/host_resource.ts'
import type { Point } from '../../processors/processor.ts'
import { createTable } from '../../processors/table.ts'
import type { Host } from '../../receivers/host/host.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import type { Logger, Metric } from '../../receivers/receiver.ts'
import { requires } from '../requires.ts'

const NAME = 'attribution-web'
const RENAMED = 'attribution-shop'
const usage: Metric = { kind: 'counter', unit: 's', description: 'CPU time.' }
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

// Never synchronous: the host hears of cgroups and containers while the event loop turns.
const docker = async (...args: string[]) =>
  (await promisify(execFile)('docker', args, { timeout: 60_000 })).stdout.trim()
const removeAll = () => docker('rm', '-f', NAME, RENAMED).catch(() => {})

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

/** The id of the container's cgroup, as the kernel has it for its first process. */
async function topId(host: Host, name: string): Promise<number | undefined> {
  return host.cgroupOf(Number(await docker('inspect', '-f', '{{.State.Pid}}', name)))?.id
}

test(
  'a container is named, restarted, renamed and replaced, and its series tell so',
  requires('root', 'docker'),
  async () => {
    await removeAll()
    const { host, collect, told } = await setUp()
    try {
      await docker('run', '-d', '--name', NAME, 'busybox:test', 'sleep', '1000')
      await until(collect, () => told('container.info', NAME)?.attributes.image === 'busybox:test')
      assert.equal(told('container.restarts', NAME)?.value, 0)
      const first = await topId(host, NAME)
      const used = told('usage', NAME)?.value ?? Number.NaN

      await docker('restart', '-t', '0', NAME)
      await until(collect, () => told('container.restarts', NAME)?.value === 1)
      assert.notEqual(await topId(host, NAME), first)
      assert.ok((told('usage', NAME)?.value ?? 0) > used * 2, 'what the first life used, and the second')

      await docker('rename', NAME, RENAMED)
      await until(collect, () => told('container.info', RENAMED) !== undefined)
      assert.equal(told('container.info', NAME), undefined)

      await docker('rm', '-f', RENAMED)
      await until(collect, () => told('container.info', RENAMED) === undefined)
      const before = told('container.restarts', RENAMED)?.value ?? 0
      await docker('run', '-d', '--name', RENAMED, 'busybox:test', 'sleep', '1000')
      await until(collect, () => told('container.restarts', RENAMED)?.value === before + 1)
    } finally {
      await host.stop()
      await removeAll()
    }
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
