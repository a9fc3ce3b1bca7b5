// One inotify watch per directory, and what to do where the kernel gives us no more of them.
import { type FSWatcher, watch } from 'node:fs'
import type { Logger } from '../receiver.ts'

export type Watches = {
  /** Watches a directory. Where that cannot be done it is among `unwatched`, and is tried again by `retry`. */
  add(directory: string): void
  remove(directory: string): void
  /** Those that have to be looked at instead. */
  readonly unwatched: ReadonlySet<string>
  /** Tries to watch again what could not be watched. */
  retry(): void
  close(): void
}

/** `name` is '' when the kernel does not tell which entry it was. */
export type Happened = (directory: string, event: 'rename' | 'change', name: string) => void

export function watchDirectories(happened: Happened, log: Logger): Watches {
  const watchers = new Map<string, FSWatcher>()
  const unwatched = new Set<string>()
  let told = false

  function refused(directory: string, { code = '' }: NodeJS.ErrnoException): void {
    unwatched.add(directory)
    if (told) return
    told = true
    log.warn('cannot watch every control group: the others are listed again at each collection', {
      reason: code,
      fix: 'sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024',
    })
  }

  function open(directory: string): boolean {
    try {
      const watcher = watch(directory, { persistent: false }, (event, name) => happened(directory, event, name ?? ''))
      watchers.set(directory, watcher)
      watcher.on('error', (error) => {
        close(directory)
        refused(directory, error)
      })
      return true
    } catch (error) {
      // A directory that is gone needs no watch; its parent's has told so.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') refused(directory, error as NodeJS.ErrnoException)
      return false
    }
  }

  function close(directory: string): void {
    watchers.get(directory)?.close()
    watchers.delete(directory)
  }

  return {
    add(directory) {
      close(directory)
      open(directory)
    },
    remove(directory) {
      close(directory)
      unwatched.delete(directory)
    },
    unwatched,
    retry() {
      for (const directory of unwatched) if (open(directory)) unwatched.delete(directory)
    },
    close() {
      for (const watcher of watchers.values()) watcher.close()
      watchers.clear()
    },
  }
}
