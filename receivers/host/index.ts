// Starts the one knowledge of the machine that all receivers and processors share.
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../receiver.ts'
import { openBirths } from './births.ts'
import { bundleSource } from './bundles.ts'
import { membersOf, watchCgroups } from './cgroups.ts'
import { placeOf } from './container_path.ts'
import { createContainers } from './containers.ts'
import { dockerSource } from './docker.ts'
import type { Host } from './host.ts'
import { bootMs, readIdentity } from './identity.ts'
import { createKept } from './kept.ts'
import { inTree, isPartOfTree, namespaceBase, readLayout } from './layout.ts'
import { watchNamespaces } from './namespaces.ts'
import { createPeers } from './peers.ts'
import { processCgroup } from './process.ts'
import { createTexts } from './resource.ts'
import type { HostSettings } from './settings.ts'
import { systemdSource } from './systemd.ts'

export { type HostSettings, hostSettings } from './settings.ts'

/** A file of a process or cgroup that ended says one of these. */
const ABSENT = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR'])

export type HostOptions = { readonly log: Logger; readonly settings: HostSettings }

/**
 * Knows all cgroups when it returns; runtimes are asked from then on, and `refresh` waits for them.
 * Throws when there are no control groups to look at. Whatever else is missing only makes names plainer.
 */
export async function startHost({ log, settings }: HostOptions): Promise<Host> {
  const rootPath = settings.root_path.replace(/\/+$/, '')
  const proc = `${rootPath}/proc`
  const layout = readLayout(settings.cgroup_root)
  if (isPartOfTree(layout)) {
    log.warn('only our own part of the control groups is in sight: other containers are not', {
      root: layout.root,
      fix: 'start the container with --cgroupns=host and -v /sys/fs/cgroup:/sys/fs/cgroup:ro',
    })
  }
  const base = namespaceBase(layout)
  const bornMs = bootMs(proc)
  const texts = createTexts()
  const peers = createPeers()
  const kept = createKept()
  const tree = watchCgroups({ root: layout.root, rememberMs: settings.remember, bootMs: bornMs, log })
  const docker = dockerSource({
    endpoint: dockerEndpoint(settings, rootPath),
    timeoutMs: settings.docker.timeout,
    negativeMs: settings.negative_cache,
    // The last numbers of an ended cgroup may come as late as that, and ask for its name.
    rememberMs: 2 * settings.remember,
    log,
    onChange: (id) => containers.changed(id),
  })
  const bundles = bundleSource(rootPath, 2 * settings.remember)
  const containers = createContainers({
    tree,
    sources: [docker, bundles],
    units: systemdSource({ rootPath, timeoutMs: settings.systemd.timeout, negativeMs: settings.negative_cache }),
    skipSystemUnits: settings.systemd.skip_system_units,
    texts,
  })
  // Docker is being asked meanwhile.
  const namespaces = watchNamespaces({ proc, tree, membersOf: ({ path }) => membersOf(layout.root + path), log })
  const births = await openBirths(layout, tree, log)
  await namespaces.refresh()

  return {
    identity: readIdentity(rootPath),
    layout,
    node: { kind: 'node', bornMs, endedMs: undefined },
    peers,
    kept,
    cgroups: () => tree.living(),
    cgroup: (id) => tree.byId(id),
    cgroupAt: (path) => tree.byPath(path),
    cgroupOf(pid) {
      const path = processCgroup(proc, pid, layout.canonicalController)
      return path === undefined ? undefined : tree.find(inTree(base, path))
    },
    containers: () => containers.living(),
    attribution: (cgroup) => containers.attribution(cgroup),
    async refresh(deadlineMs) {
      births?.drain()
      await tree.refresh()
      await namespaces.refresh()
      containers.forget()
      await Promise.race([containers.settled(), sleep(deadlineMs, undefined, { ref: false })])
    },
    onMembers: (listener) => tree.onMembers(listener),
    oomKills: () => births?.oomKills() ?? new Map(),
    members: ({ path }) => membersOf(layout.root + path),
    proc,
    logs: {
      follow(listener) {
        const stopDocker = docker.followLogs((log) => listener({ ...log, path: log.path && rootPath + log.path }))
        const stopTree = tree.onChange((cgroup) => {
          const placed = cgroup.endedMs !== undefined ? undefined : placeOf(cgroup.path)
          const log = placed?.top === cgroup.path ? bundles.logOf(placed) : undefined
          if (log) listener(log)
        })
        return () => {
          stopTree()
          stopDocker()
        }
      },
      cgroupOf(id) {
        const known = containers.topOf(id)
        if (known === undefined) births?.drain()
        return known ?? containers.topOf(id)
      },
      cgroupAt: (path) => tree.find(path),
      recall(ended) {
        tree.born(ended)
        const cgroup = tree.byId(ended.id)
        return cgroup?.endedMs === undefined ? undefined : cgroup
      },
      labelsOf: (cgroup) => containers.labelsOf(cgroup),
    },
    namespaces,
    *published() {
      for (const { id, address, port } of docker.published()) {
        const cgroup = containers.topOf(id)
        if (cgroup !== undefined && cgroup.endedMs === undefined) yield { cgroup, address, port }
      }
    },
    read,
    counts: () => ({
      missed_cgroup_changes: tree.missed,
      lost_cgroup_events: births?.lost ?? 0,
      cut_names: texts.cut,
      refused_peers: peers.refused,
      unreadable_namespaces: namespaces.refused,
    }),
    async stop() {
      kept.closeAll()
      births?.stop()
      namespaces.stop()
      tree.stop()
      await Promise.all([docker.stop(), bundles.stop()])
    },
  }
}

/** In a container the default is often not mounted, but the host's root with its socket is. */
function dockerEndpoint({ docker }: HostSettings, rootPath: string): string {
  const atRoot = `${rootPath}/run/docker.sock`
  const isDefault = docker.endpoint === 'unix:///var/run/docker.sock'
  return isDefault && !existsSync('/var/run/docker.sock') && existsSync(atRoot) ? `unix://${atRoot}` : docker.endpoint
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    if (ABSENT.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
