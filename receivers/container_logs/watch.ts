// Hears of what happens to a silent log from the kernel, where the file system tells it.
import { statfsSync, watch } from 'node:fs'
import type { LogFile } from './log_file.ts'

/** By what statfs(2) calls them (linux/magic.h). On NFS, FUSE, 9p and the like inotify(7) is blind to other machines. */
const TELLING = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x2fc12fc1, // zfs
  0xf2f52010, // f2fs
  0x01021994, // tmpfs
  0x794c7630, // overlayfs
])

/** On the file itself, wherever its name goes. Undefined where it has to be looked at, also when there are too many watches. */
export function watchFile({ fd }: LogFile, wake: () => void): (() => void) | undefined {
  const path = `/proc/self/fd/${fd}`
  try {
    if (!TELLING.has(statfsSync(path).type)) return undefined
    const watcher = watch(path, { persistent: false }, wake).on('error', wake)
    return () => watcher.close()
  } catch {
    return undefined
  }
}
