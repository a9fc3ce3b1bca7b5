// Where our own files lie, in a checkout and in the bundle: the nearest folder upwards that holds both `bpf` and `native`.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

function findRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bpf')) && existsSync(join(folder, 'native'))) return folder
    if (folder === dirname(folder)) throw new Error(`cannot find leadline's own files above ${from}: reinstall it`)
  }
}

/** The checkout's or the package's top folder. */
export const root = findRoot(import.meta.dirname)
/** The addon, built by native/build.sh. */
export const addonPath = join(root, 'native/build/leadline.node')
/** A built BPF object: `bpfPath('delay_accounting')`. */
export const bpfPath = (name: string) => join(root, 'bpf/build', `${name}.bpf.o`)
