// Starts the one knowledge of the machine that all receivers and processors share.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod/mini'
import type { Logger } from '../receiver.ts'
import { duration } from '../schema.ts'
import { watchCgroups } from './cgroups.ts'
import { appId, containerId } from './container_id.ts'
import { type Placed, placeOf } from './container_path.ts'
import { dockerSource } from './docker.ts'
import type { Attribution, Cgroup, Container, Host, Node } from './host.ts'
import { readIdentity } from './identity.ts'
import { readLayout } from './layout.ts'
import { processCgroup } from './process.ts'
import { containerAttributes } from './resource.ts'

const dockerEndpoint = () => {
  const fromEnvironment = process.env.DOCKER_HOST ?? ''
  return /^(?:unix|tcp):\/\//.test(fromEnvironment) ? fromEnvironment : 'unix:///var/run/docker.sock'
}

/** Settings of the extension `host`. */
export const hostSettings = z.strictObject({
  /** Where the host's root is mounted; `/host` for an agent in a container. */
  root_path: z._default(z.string(), '/'),
  /** Mount point of the cgroup file systems. */
  cgroup_root: z._default(z.string(), '/sys/fs/cgroup'),
  /** How long an ended cgroup and its container are remembered. */
  remember: z._default(duration(), 60_000),
  docker: z._default(
    z.strictObject({
      /** A `unix://` or `tcp://` URL; DOCKER_HOST, else unix:///var/run/docker.sock. */
      endpoint: z._default(
        z.string().check(z.regex(/^(?:unix|tcp):\/\/.+/, { error: 'expected unix:///path or tcp://host:port' })),
        dockerEndpoint,
      ),
      /** For each question. */
      timeout: z._default(duration(), 2000),
      /** How long an id that Docker does not know is not asked about again. */
      negative_cache: z._default(duration(), 30_000),
    }),
    () => ({ endpoint: dockerEndpoint(), timeout: 2000, negative_cache: 30_000 }),
  ),
})

export type HostSettings = z.infer<typeof hostSettings>

const ABSENT = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR'])

/** Throws when the machine has no control groups to look at. Everything else that is missing only makes names plainer. */
export async function startHost({ log, settings }: { log: Logger; settings: HostSettings }): Promise<Host> {
  const rootPath = settings.root_path === '/' ? '' : settings.root_path.replace(/\/$/, '')
  const proc = `${rootPath}/proc`
  const layout = readLayout(settings.cgroup_root)
  const identity = readIdentity(rootPath)
  const bornMs = Date.now() - Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000
  const node: Node = { kind: 'node', bornMs, endedMs: undefined }
  const cgroups = watchCgroups({ root: layout.root, rememberMs: settings.remember, log })

  // A cgroup's path never changes, so its place is read once. Keyed by object: an ended one goes with its cgroup.
  const places = new WeakMap<Cgroup, Placed | undefined>()
  const containers = new Map<Cgroup, Container>()
  const topsById = new Map<string, Set<Cgroup>>()

  const docker = dockerSource({
    endpoint: settings.docker.endpoint,
    timeoutMs: settings.docker.timeout,
    negativeMs: settings.docker.negative_cache,
    rememberMs: settings.remember * 2,
    log,
    onChange: (id) => {
      for (const top of topsById.get(id) ?? []) containers.delete(top)
    },
  })

  function place(cgroup: Cgroup): Placed | undefined {
    if (!places.has(cgroup)) places.set(cgroup, placeOf(cgroup.path))
    return places.get(cgroup)
  }

  /** Tops of containers that ended are found by path too, as long as they are remembered. */
  const lastTops = new Map<string, Cgroup>()
  cgroups.onChange((cgroup) => {
    const placed = place(cgroup)
    if (placed === undefined || placed.top !== cgroup.path) return
    if (cgroup.endedMs === undefined) {
      lastTops.set(cgroup.path, cgroup)
      const tops = topsById.get(placed.id) ?? new Set()
      topsById.set(placed.id, tops.add(cgroup))
    }
  })
  for (const cgroup of cgroups.living()) {
    const placed = place(cgroup)
    if (placed?.top !== cgroup.path) continue
    lastTops.set(cgroup.path, cgroup)
    topsById.set(placed.id, (topsById.get(placed.id) ?? new Set()).add(cgroup))
  }

  const forgotten = (top: Cgroup) => top.endedMs !== undefined && cgroups.byId(top.id) === undefined

  function forgetEnded(): void {
    for (const [path, top] of lastTops) if (forgotten(top)) lastTops.delete(path)
    for (const top of containers.keys()) if (forgotten(top)) containers.delete(top)
    for (const [id, tops] of topsById) {
      for (const top of tops) if (forgotten(top)) tops.delete(top)
      if (tops.size === 0) topsById.delete(id)
    }
  }

  function attribution(cgroup: Cgroup): Attribution {
    const placed = place(cgroup)
    if (placed === undefined) return { state: 'none' }
    const top = placed.top === cgroup.path ? cgroup : (cgroups.byPath(placed.top) ?? lastTops.get(placed.top))
    if (top === undefined) return { state: 'none' }
    let container = containers.get(top)
    if (container === undefined) {
      const answer = placed.askRuntime ? docker.ask(placed.id) : undefined
      if (answer?.state === 'pending') return { state: 'pending' }
      const info = answer?.state === 'known' ? answer.info : undefined
      const id = containerId(placed, info, Date.now())
      if (id === undefined) return { state: 'none' }
      const resource = containerAttributes(placed, info)
      container = {
        containerId: id,
        appId: appId(id),
        runtime: placed.runtime,
        top,
        resource,
        image: info?.image ?? '',
      }
      // Without an answer the name is only a stand-in: it is not kept, so that a runtime that comes later is asked.
      if (info !== undefined || !placed.askRuntime) containers.set(top, container)
      else container = standIn(top, container)
    }
    return { state: 'container', container }
  }

  const standIns = new WeakMap<Cgroup, Container>()
  /** The same object each time, so that a resource is one identity. */
  function standIn(top: Cgroup, container: Container): Container {
    const before = standIns.get(top)
    if (before !== undefined) return before
    standIns.set(top, container)
    return container
  }

  return {
    identity,
    layout,
    node,
    cgroups: () => cgroups.living(),
    cgroup: (id) => cgroups.byId(id),
    cgroupAt: (path) => cgroups.byPath(path),
    cgroupOf(pid) {
      const path = processCgroup(proc, pid, layout.canonicalController)
      return path === undefined ? undefined : cgroups.byPath(path)
    },
    *containers() {
      for (const top of lastTops.values()) {
        if (top.endedMs !== undefined) continue
        const whose = attribution(top)
        if (whose.state === 'container') yield whose.container
      }
    },
    attribution,
    async refresh(deadlineMs) {
      cgroups.refresh()
      forgetEnded()
      // Put every open question at once, then wait for the answers together.
      for (const top of lastTops.values()) if (top.endedMs === undefined) attribution(top)
      await Promise.race([docker.settled(), sleep(deadlineMs, undefined, { ref: false })])
    },
    onMembers: (listener) => cgroups.onMembers(listener),
    read(path) {
      try {
        return readFileSync(path, 'latin1')
      } catch (error) {
        if (ABSENT.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
        throw error
      }
    },
    async stop() {
      docker.stop()
      cgroups.stop()
    },
  }
}
