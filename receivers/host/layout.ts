// Which control group trees this host has, by our own mount table; a captured tree, which no mount shows, by its files.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { CgroupLayout } from './host.ts'
import { cgroupPath } from './process.ts'

/** v1 hierarchies in which runtimes and systemd make a cgroup for each container and unit, the likeliest first. */
const CANONICAL_V1 = ['memory', 'pids', 'cpu', 'cpuacct', 'name=systemd']

/** What stands among a v1 mount's super options and is no controller (cgroup1_show_options of the kernel). */
const NO_CONTROLLER =
  /^(?:rw|ro|none|noprefix|xattr|seclabel|clone_children|cpuset_v2_mode|favordynmods|release_agent=.*)$/

type Mounts = { readonly v2: readonly string[]; readonly v1: ReadonlyMap<string, string> }

/**
 * The cgroup mounts at or below `cgroupRoot` in a /proc/PID/mountinfo (proc_pid_mountinfo(5)):
 * mount points of v2 trees, and of each v1 controller.
 */
export function cgroupMounts(mountinfo: string, cgroupRoot: string): Mounts {
  const v2 = new Set<string>()
  const v1 = new Map<string, string>()
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const point = (before.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, octal) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    if (point !== cgroupRoot && !point.startsWith(`${cgroupRoot.replace(/\/$/, '')}/`)) continue
    const [type, , options = ''] = after.split(' ')
    if (type === 'cgroup2') v2.add(point)
    if (type !== 'cgroup') continue
    for (const option of options.split(',')) if (!NO_CONTROLLER.test(option)) v1.set(option, point)
  }
  return { v2: [...v2], v1 }
}

function mountsByFiles(cgroupRoot: string): Mounts {
  const isV2 = (path: string) => existsSync(join(path, 'cgroup.controllers'))
  const v1 = new Map<string, string>()
  for (const entry of existsSync(cgroupRoot) ? readdirSync(cgroupRoot) : []) {
    const path = join(cgroupRoot, entry)
    if (isV2(path) || !existsSync(join(path, 'cgroup.procs'))) continue
    for (const controller of entry.split(',')) v1.set(controller === 'systemd' ? 'name=systemd' : controller, path)
  }
  return { v2: [cgroupRoot, join(cgroupRoot, 'unified')].filter(isV2), v1 }
}

/** Throws when there is no cgroup tree at or below `cgroupRoot` (/sys/fs/cgroup; cgroups(7)). */
export function readLayout(cgroupRoot: string, mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): CgroupLayout {
  const mounted = cgroupMounts(mountinfo, cgroupRoot)
  const { v2, v1 } = mounted.v2.length + mounted.v1.size > 0 ? mounted : mountsByFiles(cgroupRoot)
  // A v1 controller mounted inside a v2 tree (VPN clients do that with net_cls) does not make it a hybrid.
  if (v2.includes(cgroupRoot)) return { mode: 'v2', root: cgroupRoot, v1: new Map(), canonicalController: '' }
  const unified = v2[0]
  if (unified !== undefined) {
    return { mode: v1.size > 0 ? 'hybrid' : 'v2', root: unified, v1, canonicalController: '' }
  }
  const canonicalController = CANONICAL_V1.find((controller) => v1.has(controller)) ?? ''
  const root = v1.get(canonicalController)
  if (root === undefined) {
    throw new Error(
      `no control groups under ${cgroupRoot} · fix: mount them (in a container: -v /sys/fs/cgroup:/sys/fs/cgroup:ro), or say in extensions::host::cgroup_root where they are`,
    )
  }
  return { mode: 'v1', root, v1, canonicalController }
}

/** True when the tree begins at somebody's cgroup and not at the root: only the root lacks these files (cgroup-v2.rst). */
export function isPartOfTree({ root, canonicalController }: CgroupLayout): boolean {
  if (canonicalController === '') return existsSync(join(root, 'cgroup.events'))
  return !existsSync(join(root, 'release_agent')) && existsSync(join(root, 'cgroup.clone_children'))
}

/**
 * Where our cgroup namespace begins in the tree: paths in /proc/PID/cgroup are relative to it (cgroup_namespaces(7)).
 * '' outside of namespaces. Inside one we look for ourselves once, because nothing tells the way up.
 */
export function namespaceBase({ root, canonicalController }: CgroupLayout): string {
  const own = cgroupPath(readFileSync('/proc/self/cgroup', 'utf8'), canonicalController)
  if (own === undefined || holds(join(root, own), process.pid)) return ''
  const found = find(root, '/', process.pid)
  if (found === undefined) return ''
  return own === '/' ? found : found.endsWith(own) ? found.slice(0, -own.length) : ''
}

/** A path of /proc/PID/cgroup → the path in the tree. */
export const inTree = (base: string, path: string): string => (base === '' ? path : posix.join(base, path))

function holds(directory: string, pid: number): boolean {
  try {
    return readFileSync(join(directory, 'cgroup.procs'), 'latin1').split('\n').includes(String(pid))
  } catch {
    return false
  }
}

function find(root: string, path: string, pid: number): string | undefined {
  if (holds(join(root, path), pid)) return path
  let entries: string[] = []
  try {
    entries = readdirSync(join(root, path), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch {
    // It ended between our two looks at it.
  }
  for (const entry of entries) {
    const found = find(root, posix.join(path, entry), pid)
    if (found !== undefined) return found
  }
  return undefined
}
