// Loads the addon when it is first needed, and says what to do where it cannot be loaded.
// Whoever needs nothing of it runs without it.
import { existsSync } from 'node:fs'
import type {
  BpfObject,
  BpfOptions,
  Echo,
  FileContents,
  Journal,
  JournalOptions,
  Netlink,
  NetlinkOptions,
  OpenFiles,
  Taskstats,
} from './index.ts'
import { addonPath } from './paths.ts'

type Addon = {
  readonly BpfObject: new (object: Uint8Array, options: BpfOptions) => BpfObject
  readonly Echo: new () => Echo
  readonly Journal: new (options: JournalOptions) => Journal
  readonly Netlink: new (options: NetlinkOptions) => Netlink
  readonly OpenFiles: new (paths: readonly string[]) => OpenFiles
  readonly Taskstats: new () => Taskstats
  exitWithin(code: number, seconds: number): void
  lockFile(descriptor: number): boolean
  openDirectoryIn(root: string, path: string): number
  readFiles(paths: readonly string[]): FileContents
}

let loaded: Addon | undefined

/** The addon. Throws an Error with code `ERR_LEADLINE_ADDON` that says what was looked for and what to do. */
export function addon(): Addon {
  loaded ??= load()
  return loaded
}

/** The addon where it is loaded already. */
export const loadedAddon = (): Addon | undefined => loaded

function load(): Addon {
  const module: { exports: unknown } = { exports: {} }
  try {
    // Not require(): the same line works in a checkout and in the CommonJS bundle.
    process.dlopen(module, addonPath)
  } catch (cause) {
    throw explain(cause)
  }
  return module.exports as Addon
}

function explain(cause: unknown): Error {
  const there = existsSync(addonPath)
  const reason = cause instanceof Error ? cause.message : String(cause)
  const lines = [
    `cannot load Leadline's native addon on ${platform()}`,
    `  looked for: ${addonPath}`,
    `  found: ${there ? reason : 'no such file'}`,
    `  fix: ${there ? remedy(reason) : remedy('')}`,
  ]
  return Object.assign(new Error(lines.join('\n'), { cause }), { code: 'ERR_LEADLINE_ADDON' })
}

function platform(): string {
  return `${process.platform}-${process.arch}, ${libc()}, Node ${process.versions.node}`
}

function libc(): string {
  if (process.platform !== 'linux' || !process.report) return 'unknown libc'
  Object.assign(process.report, { excludeNetwork: true }) // it would ask DNS for the names of our addresses
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'musl'
}

function remedy(reason: string): string {
  if (process.platform !== 'linux') return 'run it on Linux: it reads the Linux kernel'
  const library = /lib(bpf|elf|z)\.so[.\d]*: cannot open shared object/.exec(reason)
  if (library) return 'apt-get install libbpf1 libelf1 (Debian, Ubuntu) or dnf install libbpf elfutils-libelf (Fedora)'
  if (reason === '') return 'bash native/setup.sh build'
  return 'it was built for another system or is damaged: rm -r native/build && bash native/setup.sh build'
}
