// Log files that processes of containers hold open for writing. Their paths are resolved inside the process's own root,
// and no link leads out of it.
import { closeSync, readdirSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs'
import { basename, dirname } from 'node:path/posix'
import { openDirectoryIn } from '../../native/index.ts'
import type { Cgroup, Host } from '../host/host.ts'
import type { Logger } from '../receiver.ts'
import type { FormatOptions } from './formats/format.ts'
import { text } from './formats/text.ts'
import type { FoundLog } from './log.ts'
import type { Start } from './start.ts'

type Options = {
  readonly host: Host
  readonly log: Logger
  readonly format: FormatOptions
  readonly patterns: readonly string[]
  readonly startAt: 'beginning' | 'end'
  /** Since when an agent is there: what was born later is read from its beginning. */
  readonly sinceMs: number
  readonly add: (log: FoundLog) => void
}

/** A round through all processes begins no sooner than this after the last one. */
const ROUND_MS = 2000
const SLICE_EVERY_MS = 50
const SLICE_MS = 3
/** fcntl(2): O_WRONLY and O_RDWR, as /proc/PID/fdinfo shows them. */
const WRITING = 0o3

/** Returns what ends it. */
export function findOpenFiles({ host, log, format, patterns, startAt, sinceMs, add }: Options): () => void {
  const forms = patterns.map((pattern) => new RegExp(pattern))
  const { proc = '/proc' } = host
  /** `dev:ino` → key of the log, so that a file which two containers share is read once. */
  const taken = new Map<string, string>()
  let waiting: { readonly top: Cgroup; readonly id: string; readonly pid: number }[] = []
  let roundMs = 0
  let told = false

  function beginRound(): void {
    waiting = []
    for (const cgroup of host.cgroups()) {
      const whose = host.attribution(cgroup)
      if (whose.state !== 'container') continue
      const { top, resource, containerId } = whose.container
      const id = resource['container.id'] ?? containerId
      for (const pid of host.members?.(cgroup) ?? []) waiting.push({ top, id, pid })
    }
  }

  function slice(): void {
    const startMs = performance.now()
    if (waiting.length === 0) {
      if (startMs - roundMs < ROUND_MS) return
      roundMs = startMs
      beginRound()
    }
    while (performance.now() - startMs < SLICE_MS) {
      const next = waiting.pop()
      if (next === undefined) return
      for (const { fd, path } of openPaths(proc, next.pid)) {
        if (forms.some((form) => form.test(path))) take(next.top, next.id, next.pid, fd, path)
      }
    }
  }

  function take(top: Cgroup, id: string, pid: number, fd: string, path: string): void {
    const file = writtenFile(proc, pid, fd)
    if (file === undefined) return
    const identity = `${file.dev}:${file.ino}`
    const key = `file/${id}${path}`
    if (taken.has(identity)) return
    let directory: number
    try {
      directory = openDirectoryIn(`${proc}/${pid}/root`, dirname(path))
    } catch (error) {
      complain(error as NodeJS.ErrnoException)
      return
    }
    const within = `/proc/self/fd/${directory}/${basename(path)}`
    const there = statSync(within, { throwIfNoEntry: false })
    if (there?.ino !== file.ino || there.dev !== file.dev) {
      closeSync(directory) // renamed since it was opened, or not where its path says
      return
    }
    taken.set(identity, key)
    add({
      key,
      path: within,
      format: text(format),
      source: path,
      outputs: false,
      subject: () => top,
      start: () => start(top, file),
      close() {
        closeSync(directory)
        taken.delete(identity)
      },
    })
  }

  function start(top: Cgroup, { birthtimeMs }: Stats): Start {
    if (startAt === 'beginning') return { at: 'time', sinceMs: 0, whole: true }
    if (top.bornMs >= sinceMs) return { at: 'time', sinceMs: top.bornMs, whole: true }
    return birthtimeMs >= sinceMs ? { at: 'time', sinceMs, whole: true } : { at: 'end' }
  }

  function complain({ code, message }: NodeJS.ErrnoException): void {
    if (code === 'ENOENT' || code === 'ESRCH' || told) return
    told = true
    const fix =
      code === 'ENOSYS' ? 'Linux 5.6 or newer' : 'run as root, or grant CAP_SYS_PTRACE; bash native/setup.sh build'
    log.warn('log files inside containers cannot be read', { error: message, fix })
  }

  if (forms.length === 0) return () => {}
  const scanning = setInterval(slice, SLICE_EVERY_MS).unref()
  return () => clearInterval(scanning)
}

/** Paths of a process's descriptors that are in a file system, as itself would name them. */
function openPaths(proc: string, pid: number): { readonly fd: string; readonly path: string }[] {
  const directory = `${proc}/${pid}/fd`
  try {
    return readdirSync(directory).flatMap((fd) => {
      const path = linkOf(`${directory}/${fd}`)
      return path.startsWith('/') && !path.endsWith(' (deleted)') ? [{ fd, path }] : []
    })
  } catch {
    return [] // processes end
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** Undefined unless it is a regular file that is open for writing. */
function writtenFile(proc: string, pid: number, fd: string): Stats | undefined {
  try {
    const stat = statSync(`${proc}/${pid}/fd/${fd}`)
    if (!stat.isFile()) return undefined
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`${proc}/${pid}/fdinfo/${fd}`, 'latin1'))?.[1]
    return (Number.parseInt(flags ?? '0', 8) & WRITING) === 0 ? undefined : stat
  } catch {
    return undefined
  }
}
