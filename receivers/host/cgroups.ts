// The tree of control groups by id and by path, kept up to date by watching its directories.
// mkdir and rmdir in a cgroup file system reach inotify like any other, so nothing is read again without a reason.
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../receiver.ts'
import type { Cgroup } from './host.ts'

export type CgroupTree = {
  byId(id: number): Cgroup | undefined
  byPath(path: string): Cgroup | undefined
  living(): Iterable<Cgroup>
  /** Called after a cgroup was added or ended. */
  onChange(listener: (cgroup: Cgroup) => void): void
  onMembers(listener: (cgroup: Cgroup, pids: readonly number[]) => void): () => void
  /** Forgets those that ended more than `rememberMs` ago, and lists again what could not be watched. */
  refresh(): void
  stop(): void
}

type Options = { readonly root: string; readonly rememberMs: number; readonly log: Logger }

export function watchCgroups({ root, rememberMs, log }: Options): CgroupTree {
  const known = new Map<number, Cgroup>()
  const living = new Map<string, Cgroup>()
  const watchers = new Map<string, FSWatcher>()
  const unwatched = new Set<string>()
  const changeListeners = new Set<(cgroup: Cgroup) => void>()
  const memberListeners = new Set<(cgroup: Cgroup, pids: readonly number[]) => void>()

  const directory = (path: string) => join(root, path)

  function end(cgroup: Cgroup): void {
    const inside = cgroup.path === '/' ? '/' : `${cgroup.path}/`
    for (const other of [...living.values()]) {
      if (other !== cgroup && !other.path.startsWith(inside)) continue
      other.endedMs = Date.now()
      living.delete(other.path)
      watchers.get(other.path)?.close()
      watchers.delete(other.path)
      unwatched.delete(other.path)
      for (const listener of changeListeners) listener(other)
    }
  }

  /** Looks at one directory: makes it known, ends what lay there before under another id, or notices that it went. */
  function look(path: string): void {
    const before = living.get(path)
    const stat = statSync(directory(path), { throwIfNoEntry: false })
    if (stat?.isDirectory() !== true) {
      if (before) end(before)
      return
    }
    if (before?.id === stat.ino) return
    if (before) end(before)
    const bornMs = Math.min(stat.ctimeMs || Date.now(), stat.mtimeMs || Date.now())
    const cgroup: Cgroup = { kind: 'cgroup', id: stat.ino, path, bornMs, endedMs: undefined }
    known.set(cgroup.id, cgroup)
    living.set(path, cgroup)
    // Watch first, list then: what is made in between is seen twice, never missed.
    watchDirectory(path)
    for (const listener of changeListeners) listener(cgroup)
    list(path)
    tellMembers(path)
  }

  function list(path: string): void {
    const names = new Set<string>()
    try {
      for (const entry of readdirSync(directory(path), { withFileTypes: true })) {
        if (entry.isDirectory()) names.add(entry.name)
      }
    } catch {
      look(path) // it went between our two looks at it
      return
    }
    const inside = path === '/' ? '/' : `${path}/`
    for (const child of [...living.keys()]) {
      if (!child.startsWith(inside) || child === path) continue
      if (!child.slice(inside.length).includes('/') && !names.has(child.slice(inside.length))) look(child)
    }
    for (const name of names) look(`${inside}${name}`)
  }

  function tellMembers(path: string): void {
    const cgroup = living.get(path)
    if (memberListeners.size === 0 || cgroup === undefined) return
    let pids: number[]
    try {
      pids = readFileSync(join(directory(path), 'cgroup.procs'), 'latin1')
        .split('\n')
        .map(Number)
    } catch {
      return // ended, or a threaded cgroup, whose processes its root lists
    }
    const members = pids.filter((pid) => pid > 0)
    if (members.length > 0) for (const listener of memberListeners) listener(cgroup, members)
  }

  function watchDirectory(path: string): void {
    try {
      const watcher = watch(directory(path), { persistent: false }, (event, name) => {
        if (name === 'cgroup.procs' || name === 'cgroup.events' || name === 'tasks') tellMembers(path)
        else if (event === 'rename' && name !== null) look(path === '/' ? `/${name}` : `${path}/${name}`)
        else if (name === null) list(path)
      })
      watcher.on('error', () => {
        unwatched.add(path)
        watcher.close()
      })
      watchers.set(path, watcher)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return
      if (unwatched.size === 0) {
        log.warn('cannot watch all control groups; those are listed again at each collection', {
          reason: code,
          fix: 'sysctl -w fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024',
        })
      }
      unwatched.add(path)
    }
  }

  look('/')

  return {
    byId: (id) => known.get(id),
    byPath: (path) => living.get(path),
    living: () => living.values(),
    onChange(listener) {
      changeListeners.add(listener)
    },
    onMembers(listener) {
      memberListeners.add(listener)
      for (const path of living.keys()) tellMembers(path)
      return () => memberListeners.delete(listener)
    },
    refresh() {
      for (const path of [...unwatched]) {
        look(path)
        if (living.has(path)) list(path)
      }
      const oldest = Date.now() - rememberMs
      for (const [id, { endedMs }] of known) if (endedMs !== undefined && endedMs < oldest) known.delete(id)
    },
    stop() {
      for (const watcher of watchers.values()) watcher.close()
      watchers.clear()
    },
  }
}
