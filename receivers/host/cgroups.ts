// The tree of control groups by id and by path, kept up to date by watching its directories: mkdir, rmdir and writes
// reach inotify in a cgroup file system as in any other, so nothing is read again without a reason.
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs'
import { posix } from 'node:path'
import type { Logger } from '../receiver.ts'
import type { Cgroup } from './host.ts'
import { watchDirectories } from './watches.ts'

export type CgroupTree = {
  /** Living or ended not long ago. */
  byId(id: number): Cgroup | undefined
  /** Living ones only. */
  byPath(path: string): Cgroup | undefined
  /** The living one, looked up in the file system where the watches have not told of it yet, else the last to end there. */
  find(path: string): Cgroup | undefined
  living(): Iterable<Cgroup>
  /** Undefined for the root. */
  parent(cgroup: Cgroup): Cgroup | undefined
  /** One that was made, as the kernel told us. Its directory may be gone again. */
  born(birth: Birth): void
  /** One that was removed, as the kernel told us. */
  died(id: number, endedMs: number): void
  /** Called when a cgroup was added or ended, and for each that there is now. Returns what ends that. */
  onChange(listener: (cgroup: Cgroup) => void): () => void
  onMembers(listener: MembersListener): () => void
  /** Applies what the watches have said, looks where they cannot, and forgets what ended long ago. */
  refresh(): Promise<void>
  /** How often a look at the directories found something that no watch had told. */
  readonly missed: number
  stop(): void
}

export type Birth = { readonly id: number; readonly path: string; readonly bornMs: number }

type MembersListener = (cgroup: Cgroup, pids: readonly number[]) => void
type Entry = { readonly cgroup: Cgroup; readonly parent: Entry | undefined; readonly children: Map<string, Entry> }
type Options = {
  /** Mount point of the tree. */
  readonly root: string
  readonly rememberMs: number
  /** When the root was made, that is when the machine was started. */
  readonly bootMs: number
  readonly log: Logger
}

/** A queue of the kernel that runs over says nothing to us, so every directory is looked at this often. Takes ~5 µs each. */
const SWEEP_MS = 30_000
/** A quarter of the kernel's usual queue (fs.inotify.max_queued_events). After so many events at once we do not wait. */
const BURST = 4096

export function watchCgroups({ root, rememberMs, bootMs, log }: Options): CgroupTree {
  const entries = new WeakMap<Cgroup, Entry>()
  const known = new Map<number, Cgroup>()
  const living = new Map<string, Entry>()
  const ended = new Map<string, Cgroup>()
  const changeListeners = new Set<(cgroup: Cgroup) => void>()
  const memberListeners = new Set<MembersListener>()
  const entered = new Set<Entry>()
  let events = 0
  let sweptMs = Date.now()
  let missed = 0

  const directory = (path: string) => (path === '/' ? root : `${root}${path}`)
  const watches = watchDirectories((watched, event, name) => {
    events++
    const entry = living.get(watched.slice(root.length) || '/')
    if (entry === undefined) return
    if (name === 'cgroup.procs' || name === 'cgroup.events' || name === 'tasks') noteMembers(entry)
    else if (name === '') list(entry)
    else if (event === 'rename') look(entry, name)
  }, log)

  function add(cgroup: Cgroup, parent: Entry | undefined, name: string): Entry {
    const entry: Entry = { cgroup, parent, children: new Map() }
    entries.set(cgroup, entry)
    known.set(cgroup.id, cgroup)
    living.set(cgroup.path, entry)
    parent?.children.set(name, entry)
    return entry
  }

  function end(entry: Entry, endedMs: number): void {
    const { cgroup, parent } = entry
    if (cgroup.endedMs !== undefined) return
    for (const child of entry.children.values()) end(child, endedMs)
    cgroup.endedMs = endedMs
    if (living.get(cgroup.path) === entry) living.delete(cgroup.path)
    ended.set(cgroup.path, cgroup)
    parent?.children.delete(posix.basename(cgroup.path))
    watches.remove(directory(cgroup.path))
    for (const listener of changeListeners) listener(cgroup)
  }

  /** Looks at one entry of a directory. Answers whether something was new. */
  function look(parent: Entry | undefined, name: string): boolean {
    const path = posix.join(parent?.cgroup.path ?? '/', name)
    const before = living.get(path)
    const stat = statOf(directory(path))
    if (stat?.isDirectory() !== true) {
      if (before) end(before, Date.now())
      return before !== undefined
    }
    if (before?.cgroup.id === stat.ino) return false
    if (before) end(before, Date.now())
    // The kernel stamps a directory when it is first looked at, so this is late for one that nobody had looked at.
    const bornMs = parent === undefined ? bootMs : Math.min(stat.ctimeMs, stat.mtimeMs, Date.now())
    const entry = add({ kind: 'cgroup', id: stat.ino, path, bornMs, endedMs: undefined }, parent, name)
    // Watch first, list then: what is made in between is seen twice, never missed.
    watches.add(directory(path))
    // Changes of cgroup.events are told only when somebody has looked at it (kernfs_notify_workfn).
    statOf(`${directory(path)}/cgroup.events`)
    for (const listener of changeListeners) listener(entry.cgroup)
    list(entry)
    noteMembers(entry)
    return true
  }

  function list(entry: Entry): boolean {
    const names = new Set<string>()
    try {
      for (const found of readdirSync(directory(entry.cgroup.path), { withFileTypes: true })) {
        if (found.isDirectory()) names.add(found.name)
      }
    } catch {
      return entry.parent === undefined ? false : look(entry.parent, posix.basename(entry.cgroup.path))
    }
    for (const name of entry.children.keys()) names.add(name)
    let changed = false
    for (const name of names) if (look(entry, name)) changed = true
    return changed
  }

  /** Members are read once for all events that came together. */
  function noteMembers(entry: Entry): void {
    if (memberListeners.size === 0) return
    if (entered.size === 0) setImmediate(tellMembers)
    entered.add(entry)
  }

  function tellMembers(): void {
    for (const { cgroup } of entered) {
      const pids = membersOf(directory(cgroup.path))
      if (pids.length > 0) for (const listener of memberListeners) listener(cgroup, pids)
    }
    entered.clear()
  }

  /** Each directory has two links and one for each directory in it (kernfs_refresh_inode), so a stat is enough. */
  function sweep(): void {
    sweptMs = Date.now()
    /** Lost as many as they gained, perhaps. */
    const parents = new Set<Entry>()
    for (const entry of [...living.values()]) {
      const { cgroup, parent, children } = entry
      if (cgroup.endedMs !== undefined) continue
      const stat = statOf(directory(cgroup.path))
      const same = stat?.ino === cgroup.id
      if (same && stat.nlink === children.size + 2) continue
      if (same ? list(entry) : look(parent, posix.basename(cgroup.path))) missed++
      if (!same && parent) parents.add(parent)
    }
    for (const parent of parents) if (parent.cgroup.endedMs === undefined && list(parent)) missed++
  }

  function forget(): void {
    const oldest = Date.now() - rememberMs
    for (const [id, { endedMs }] of known) if (endedMs !== undefined && endedMs < oldest) known.delete(id)
    for (const [path, cgroup] of ended) if (!known.has(cgroup.id)) ended.delete(path)
  }

  /** The entry of a path, looked for along it where it is not known yet. */
  function reach(path: string): Entry | undefined {
    const entry = living.get(path)
    if (entry !== undefined || path === '/' || !path.startsWith('/')) return entry
    const parent = reach(posix.dirname(path))
    if (parent === undefined) return undefined
    look(parent, posix.basename(path))
    return living.get(path)
  }

  look(undefined, '')

  return {
    byId: (id) => known.get(id),
    byPath: (path) => living.get(path)?.cgroup,
    find(path) {
      const [alive = path] = path.split(' (deleted)')
      return (alive === path ? reach(path)?.cgroup : undefined) ?? ended.get(alive)
    },
    *living() {
      for (const { cgroup } of living.values()) yield cgroup
    },
    parent: (cgroup) => entries.get(cgroup)?.parent?.cgroup,
    born({ id, path, bornMs }) {
      if (known.has(id) || path === '/') return
      const parentPath = posix.dirname(path)
      const holder = reach(parentPath)
      if (holder) look(holder, posix.basename(path))
      if (known.has(id)) return
      // It came and went between two looks. Its place in the tree is that of its path.
      const parent = holder?.cgroup ?? ended.get(parentPath)
      const cgroup: Cgroup = { kind: 'cgroup', id, path, bornMs, endedMs: Date.now() }
      entries.set(cgroup, { cgroup, parent: parent && entries.get(parent), children: new Map() })
      known.set(id, cgroup)
      ended.set(path, cgroup)
      for (const listener of changeListeners) listener(cgroup)
    },
    died(id, endedMs) {
      const cgroup = known.get(id)
      const entry = cgroup && entries.get(cgroup)
      if (cgroup === undefined || entry === undefined) return
      if (cgroup.endedMs === undefined) end(entry, endedMs)
      else cgroup.endedMs = Math.min(cgroup.endedMs, endedMs)
    },
    onChange(listener) {
      changeListeners.add(listener)
      for (const { cgroup } of living.values()) listener(cgroup)
      return () => changeListeners.delete(listener)
    },
    onMembers(listener) {
      memberListeners.add(listener)
      return () => memberListeners.delete(listener)
    },
    async refresh() {
      // The watches are read once in each turn of the event loop. Where this turn has read them already (we were called
      // by what it read), what came since is read in the next.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
      const unseen = [...watches.unwatched]
      watches.retry()
      for (const path of unseen) {
        const entry = living.get(path.slice(root.length) || '/')
        if (entry === undefined) watches.remove(path)
        else {
          list(entry)
          noteMembers(entry)
        }
      }
      if (events > BURST || Date.now() - sweptMs > SWEEP_MS) sweep()
      events = 0
      if (entered.size > 0) tellMembers()
      forget()
    },
    get missed() {
      return missed
    },
    stop() {
      watches.close()
      memberListeners.clear()
    },
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined // it ended between our two looks at it
  }
}

/** Pids in a cgroup's directory; none when it has ended. */
export function membersOf(directory: string): number[] {
  try {
    const text = readFileSync(`${directory}/cgroup.procs`, 'latin1')
    return text
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0)
  } catch {
    return [] // ended, or a threaded cgroup, whose processes its root lists
  }
}
