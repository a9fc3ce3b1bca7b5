// Which control group trees this host has, told from their files: a mount table says less inside a container.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CgroupLayout } from './host.ts'

/** v1 hierarchies in which runtimes and systemd always make a cgroup for a container, the likeliest first. */
const CANONICAL_V1 = ['memory', 'cpu', 'cpuacct', 'pids', 'name=systemd']

/**
 * Looks under the mount point of the cgroup file systems (/sys/fs/cgroup; cgroups(7)).
 * Throws when nothing there is a cgroup tree.
 */
export function readLayout(cgroupRoot: string): CgroupLayout {
  if (existsSync(join(cgroupRoot, 'cgroup.controllers'))) {
    return { mode: 'v2', root: cgroupRoot, v1: new Map(), canonicalController: '' }
  }
  const v1 = new Map<string, string>()
  for (const entry of existsSync(cgroupRoot) ? readdirSync(cgroupRoot) : []) {
    const path = join(cgroupRoot, entry)
    if (entry === 'unified' || !existsSync(join(path, 'cgroup.procs'))) continue
    for (const controller of entry.split(',')) v1.set(controller === 'systemd' ? 'name=systemd' : controller, path)
  }
  const unified = join(cgroupRoot, 'unified')
  if (existsSync(join(unified, 'cgroup.controllers'))) {
    return { mode: 'hybrid', root: unified, v1, canonicalController: '' }
  }
  const canonicalController = CANONICAL_V1.find((controller) => v1.has(controller)) ?? ''
  const root = v1.get(canonicalController)
  if (root === undefined) {
    throw new Error(
      `no control groups under ${cgroupRoot} · fix: mount them there (in a container: -v /sys/fs/cgroup:/sys/fs/cgroup:ro), or set extensions::host::cgroup_root`,
    )
  }
  return { mode: 'v1', root, v1, canonicalController }
}
