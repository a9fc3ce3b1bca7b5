// A host whose cgroup file systems are folders of the checkout, and what one collection of a receiver brings there.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createNoopMeter } from '@opentelemetry/api'
import type { Cgroup, Container, Host } from '../../receivers/host/host.ts'
import { readLayout } from '../../receivers/host/layout.ts'
import type { Namespaces } from '../../receivers/host/namespaces.ts'
import { createPeers } from '../../receivers/host/peers.ts'
import type { ReceiverDefinition } from '../../receivers/receiver.ts'
import { listeningLog } from './quiet.ts'

export const fixture = (path: string) => join(import.meta.dirname, '../fixtures', path)

type Given = {
  /** The mount point of the cgroup file systems. */
  readonly cgroups: string
  /** Paths of the top cgroups of containers. */
  readonly containers: readonly string[]
  /** Paths of other cgroups. Those inside a container belong to it. */
  readonly others?: readonly string[]
  /** Files outside the cgroup file systems, by path. */
  readonly files?: Readonly<Record<string, string>>
}

export function fixtureHost({ cgroups: root, containers, others = [], files = {} }: Given): Host {
  const node = { kind: 'node' as const, bornMs: 0, endedMs: undefined }
  const tops = containers.map((path, i) => cgroup(path, 1000 + i))
  const all = [cgroup('/', 1), ...others.map((path, i) => cgroup(path, 2000 + i)), ...tops]
  const containerOf = new Map(tops.map((top) => [top, container(top)]))
  const whose = (asked: Cgroup) => {
    const top = tops.find(({ path }) => asked.path === path || asked.path.startsWith(`${path}/`))
    return top && containerOf.get(top)
  }
  return {
    identity: { machineId: 'b7fd', systemUuid: '4c4c', hostname: 'fixture', kernelVersion: '6.1.0', arch: 'amd64' },
    layout: readLayout(root),
    node,
    peers: createPeers(),
    cgroups: () => all.filter(({ endedMs }) => endedMs === undefined),
    cgroup: (id) => all.find((known) => known.id === id),
    cgroupAt: (path) => all.find((known) => known.path === path && known.endedMs === undefined),
    cgroupOf: () => undefined,
    containers: () =>
      tops.filter(({ endedMs }) => endedMs === undefined).map((top) => containerOf.get(top) ?? container(top)),
    attribution: (asked) => {
      const found = whose(asked)
      return found === undefined ? { state: 'none' } : { state: 'container', container: found }
    },
    refresh: async () => {},
    onMembers: () => () => {},
    namespaces: ownNamespaceOnly(),
    read: (path) => files[path] ?? (existsSync(path) ? readFileSync(path, 'latin1') : undefined),
    stop: async () => {},
  }
}

/** Fixtures have no processes. */
function ownNamespaceOnly(): Namespaces {
  const own = statSync('/proc/self/ns/net').ino
  return {
    initial: own,
    own,
    living: () => [{ netns: own, pid: process.pid }],
    has: (netns) => netns === own,
    of: () => undefined,
    open: () => undefined,
    within: (netns, use) => (netns === own ? use(undefined) : undefined),
    seen: () => {},
    onEnd: () => () => {},
    refresh: async () => {},
    refused: 0,
    stop: () => {},
  }
}

const cgroup = (path: string, id: number): Cgroup => ({ kind: 'cgroup', id, path, bornMs: 1, endedMs: undefined })

const container = (top: Cgroup): Container => ({
  containerId: top.path,
  appId: '',
  runtime: 'other',
  top,
  resource: {},
  image: '',
})

export type Collected = {
  /** `metric{key=value} /path` → value; no path for the node. Of a histogram its sum, and `metric count`. */
  readonly points: ReadonlyMap<string, number>
  readonly failures: readonly string[]
}

/** Starts a receiver; each call of `collect` is one collection. */
export async function started<Config, Name extends string>(
  receiver: ReceiverDefinition<Config, Name>,
  host: Host,
  config: Config,
) {
  const running = await receiver.start(config, {
    host,
    log: listeningLog(),
    meter: createNoopMeter(),
    id: receiver.name,
    logs: () => {},
  })
  return {
    async collect(): Promise<Collected> {
      const points = new Map<string, number>()
      const failures: string[] = []
      await running.collect({
        record(subject, metric, value, attributes = {}) {
          const labels = Object.entries(attributes).map(([key, label]) => `${key}=${label}`)
          const key = `${metric}${labels.length > 0 ? `{${labels.join()}}` : ''}`
          const path = subject.kind === 'flow' ? subject.cgroup.path : subject.kind === 'cgroup' ? subject.path : ''
          const name = path === '' ? key : `${key} ${path}`
          if (points.has(name)) throw new Error(`told twice: ${name}`)
          points.set(name, value)
        },
        distribution(subject, metric, sum, counts, attributes) {
          this.record(subject, metric, sum, attributes)
          const total = Array.from(counts).reduce((all, count) => all + count, 0)
          this.record(subject, `${metric} count` as Name, total, attributes)
        },
        failed: (error) => failures.push(error.message),
      })
      return { points, failures }
    },
    stop: () => running.stop?.(),
  }
}
