// Network namespaces by inode, each with a process that lives in it: found from the members of the control groups, and
// looked at again when members come, not by reading all of /proc each time. Nothing here holds a namespace open.
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs'
import type { Logger } from '../receiver.ts'
import type { CgroupTree } from './cgroups.ts'
import type { Cgroup } from './host.ts'

/** A network namespace by the inode of /proc/PID/ns/net (namespaces(7)), and a process that lives in it. */
export type LivingNamespace = { readonly netns: number; readonly pid: number }

export type Namespaces = {
  /** Inode of the namespace that the host's own processes use; ours where that cannot be known. */
  readonly initial: number
  /** Inode of the namespace that this process is in. */
  readonly own: number
  /** Living namespaces that we know of, `initial` among them. */
  living(): Iterable<LivingNamespace>
  /** Whether some process that we know of lives in it. */
  has(netns: number): boolean
  /** The one a cgroup's first process lives in; undefined when the cgroup is empty or that may not be read. */
  of(cgroup: Cgroup): number | undefined
  /**
   * A descriptor of the namespace (checked against the inode); undefined when it is gone or may not be opened.
   * The caller closes it soon: while it is open, a namespace whose container is dead lives on.
   */
  open(netns: number): number | undefined
  /**
   * Calls `use` with a descriptor of the namespace, and closes it. With undefined for the one we are in, which needs
   * no entering and so no CAP_SYS_ADMIN. Returns undefined when the namespace is gone or may not be opened.
   */
  within<T>(netns: number, use: (namespace: number | undefined) => T): T | undefined
  /** Somebody else (a BPF program, say) has seen that a process lives there. */
  seen(netns: number, pid: number): void
  /** Called with a namespace in which no process that we know of lives any more. Close what you hold of it at once. */
  onEnd(listener: (netns: number) => void): () => void
  /** Looks whether the known processes are still where they were, and at new ones. Yields to others every few milliseconds. */
  refresh(): Promise<void>
  /** Processes whose namespace we were not allowed to read, since the start. */
  readonly refused: number
  stop(): void
}

type Members = {
  /** Each namespace its processes live in, and one of them; first that of its first process. */
  lives: Map<number, number>
  /** Processes that were looked at. */
  seen: ReadonlySet<number>
}

type Options = {
  /** Where proc is mounted. */
  readonly proc: string
  readonly tree: CgroupTree
  /** Pids in a cgroup now; none when it has ended. */
  readonly membersOf: (cgroup: Cgroup) => number[]
  readonly log: Logger
}

/** A runtime puts a process into the cgroup first and into its namespaces then, so new members are looked at again. */
const LOOK_AGAIN_MS = [30, 200, 1000]
/** Each refresh looks at all members of one in so many cgroups, for those that went elsewhere and told nobody. */
const ROTATION = 20
const SLICE_MS = 8
/** Namespaces that only others have told of. */
const MOST_TOLD = 4096

export function watchNamespaces({ proc, tree, membersOf, log }: Options): Namespaces {
  const own = statSync('/proc/self/ns/net').ino
  const byCgroup = new Map<Cgroup, Members>()
  const byNetns = new Map<number, Set<Members>>()
  const told: Members = { lives: new Map(), seen: new Set() }
  const endListeners = new Set<(netns: number) => void>()
  const lookAgain = new Set<Cgroup>()
  const timers = new Set<NodeJS.Timeout>()
  let refused = 0
  let turn = 0
  let refreshing: Promise<void> | undefined

  const hosts = hostsOwn()
  const initial = hosts?.netns ?? own

  /** Undefined when the process has ended, or we may not know. */
  function netnsOf(pid: number | 'self'): number | undefined {
    try {
      return statSync(pid === 'self' ? '/proc/self/ns/net' : `${proc}/${pid}/ns/net`, { throwIfNoEntry: false })?.ino
    } catch (error) {
      // Some machines close init to everybody, root included; it lives where the host does.
      if (pid === 1 && hosts !== undefined) return hosts.netns
      const { code = '' } = error as NodeJS.ErrnoException
      if (code === 'EACCES' || code === 'EPERM') refuse(code)
      return undefined
    }
  }

  function refuse(reason: string): void {
    if (refused++ > 0) return
    log.warn('cannot see in which network namespace some processes live: what goes on in there stays unseen', {
      reason,
      fix: 'grant CAP_SYS_PTRACE, or run as root',
    })
  }

  /** Where init or, when init is closed to us, the kernel's own threads live. */
  function hostsOwn(): LivingNamespace | undefined {
    for (const [pid, name] of [
      [1, undefined],
      [2, 'kthreadd'],
    ] as const) {
      try {
        if (name !== undefined && readFileSync(`${proc}/${pid}/comm`, 'latin1').trim() !== name) continue
        return { netns: statSync(`${proc}/${pid}/ns/net`).ino, pid }
      } catch {
        // The next one may be open to us.
      }
    }
    log.warn("cannot tell which network namespace is the host's: ours is taken for it", {
      fix: 'grant CAP_SYS_PTRACE and run in the PID namespace of the host (docker run --pid=host, hostPID: true)',
    })
    return undefined
  }

  /** Takes over where the processes live, and tells of namespaces in which nobody lives any more. */
  function settle(members: Members, lives: Map<number, number>): void {
    const before = members.lives
    members.lives = lives
    for (const netns of lives.keys()) {
      const homes = byNetns.get(netns)
      if (homes === undefined) byNetns.set(netns, new Set([members]))
      else homes.add(members)
    }
    for (const netns of before.keys()) {
      if (lives.has(netns)) continue
      const homes = byNetns.get(netns)
      homes?.delete(members)
      if (homes === undefined || homes.size > 0) continue
      byNetns.delete(netns)
      if (netns !== initial && netns !== own) for (const listener of endListeners) listener(netns)
    }
  }

  /** Looks at members that were not looked at before, and at all of them when one is not where it was. */
  function look(cgroup: Cgroup, { all = false, pids }: { all?: boolean; pids?: readonly number[] } = {}): Members {
    const known = byCgroup.get(cgroup)
    const members: Members = known ?? { lives: new Map(), seen: new Set() }
    byCgroup.set(cgroup, members)
    const moved = [...members.lives].some(([netns, pid]) => netnsOf(pid) !== netns)
    const anew = all || moved
    if (known && pids === undefined && !anew) return known
    const lives = new Map(anew ? [] : members.lives)
    const seen = new Set<number>()
    for (const pid of pids ?? membersOf(cgroup)) {
      if (anew || !members.seen.has(pid)) {
        const netns = netnsOf(pid)
        if (netns === undefined) continue
        if (!lives.has(netns)) lives.set(netns, pid)
      }
      seen.add(pid)
    }
    members.seen = seen
    settle(members, lives)
    return members
  }

  function end(cgroup: Cgroup): void {
    const members = byCgroup.get(cgroup)
    byCgroup.delete(cgroup)
    lookAgain.delete(cgroup)
    if (members) settle(members, new Map())
  }

  function after(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      action()
    }, delayMs).unref()
    timers.add(timer)
  }

  function lookAgainAt(cgroup: Cgroup, [delayMs, ...later]: readonly number[]): void {
    if (delayMs === undefined) lookAgain.delete(cgroup)
    else
      after(delayMs, () => {
        if (cgroup.endedMs !== undefined || !lookAgain.has(cgroup)) return
        look(cgroup, { pids: membersOf(cgroup) })
        lookAgainAt(cgroup, later)
      })
  }

  tree.onChange((cgroup) => {
    if (cgroup.endedMs !== undefined) end(cgroup)
  })
  const stopHearing = tree.onMembers((cgroup, pids) => {
    if (cgroup.endedMs !== undefined) return
    look(cgroup, { pids })
    if (lookAgain.has(cgroup)) return
    lookAgain.add(cgroup)
    lookAgainAt(cgroup, LOOK_AGAIN_MS)
  })

  async function lookAtAll(): Promise<void> {
    turn = (turn + 1) % ROTATION
    const gone = [...told.lives].filter(([netns, pid]) => netnsOf(pid) !== netns).map(([netns]) => netns)
    if (gone.length > 0) settle(told, new Map([...told.lives].filter(([netns]) => !gone.includes(netns))))
    let sinceMs = performance.now()
    let index = 0
    for (const cgroup of [...tree.living()]) {
      if (cgroup.endedMs === undefined) look(cgroup, { all: index++ % ROTATION === turn })
      if (performance.now() - sinceMs < SLICE_MS) continue
      await new Promise((resolve) => setImmediate(resolve))
      sinceMs = performance.now()
    }
  }

  /** Processes that may live in it, the likeliest first. */
  function* livingIn(netns: number): Generator<number | 'self'> {
    if (netns === own) yield 'self'
    if (netns === hosts?.netns) yield hosts.pid
    for (const { lives } of byNetns.get(netns) ?? []) {
      const pid = lives.get(netns)
      if (pid !== undefined) yield pid
    }
  }

  function open(netns: number): number | undefined {
    for (const pid of livingIn(netns)) {
      let fd: number | undefined
      try {
        fd = openSync(pid === 'self' ? '/proc/self/ns/net' : `${proc}/${pid}/ns/net`, 'r')
        if (fstatSync(fd).ino === netns) return fd
      } catch {
        // It has ended, or is closed to us; another may be open.
      }
      if (fd !== undefined) closeSync(fd)
    }
    return undefined
  }

  return {
    initial,
    own,
    *living() {
      yield { netns: initial, pid: hosts?.pid ?? process.pid }
      for (const [netns, homes] of byNetns) {
        if (netns === initial) continue
        for (const { lives } of homes) {
          yield { netns, pid: lives.get(netns) ?? 0 }
          break
        }
      }
    },
    has: (netns) => netns === initial || netns === own || byNetns.has(netns),
    of(cgroup) {
      if (cgroup.endedMs !== undefined) return undefined
      const { lives } = byCgroup.get(cgroup) ?? look(cgroup)
      return lives.keys().next().value
    },
    open,
    within(netns, use) {
      if (netns === own) return use(undefined)
      const fd = open(netns)
      if (fd === undefined) return undefined
      try {
        return use(fd)
      } finally {
        closeSync(fd)
      }
    },
    seen(netns, pid) {
      if (netns === 0 || byNetns.has(netns) || told.lives.size >= MOST_TOLD || netnsOf(pid) !== netns) return
      settle(told, new Map(told.lives).set(netns, pid))
    },
    onEnd(listener) {
      endListeners.add(listener)
      return () => endListeners.delete(listener)
    },
    refresh() {
      refreshing ??= lookAtAll().finally(() => {
        refreshing = undefined
      })
      return refreshing
    },
    get refused() {
      return refused
    },
    stop() {
      stopHearing()
      for (const timer of timers) clearTimeout(timer)
      endListeners.clear()
      byCgroup.clear()
      byNetns.clear()
    },
  }
}
