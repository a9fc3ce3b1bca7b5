// The rotated files of a log, oldest first, by the names that rotations give: `app.log.1`, `app.log.2.gz` (Docker,
// logrotate), `0.log.20261125-141433.gz` (kubelet), `app.log-20261125` (logrotate's dateext).
import { lstatSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

export type Sibling = {
  readonly path: string
  readonly dev: bigint
  readonly ino: bigint
  readonly size: number
  readonly modifiedMs: number
  /** When it was created; 0 where the file system does not know. */
  readonly bornMs: number
  readonly compressed: boolean
}

const COMPRESSED = /\.(?:gz|zst)$/
/** Not whole yet, or nothing that we can read. */
const USELESS = /\.(?:tmp|swp|bz2|xz|lz4|offset)$/
const MOST = 1000

/** Without the log's own file. What comes and goes meanwhile is in the next listing. */
export function rotatedFiles(path: string): Sibling[] {
  const directory = dirname(path)
  const base = basename(path)
  let names: string[]
  try {
    names = readdirSync(directory).filter((name) => isRotated(name, base))
  } catch {
    return []
  }
  // While an old file is being compressed both are there, and only the plain one is surely whole.
  const all = new Set(names)
  const chosen = names.filter((name) => !COMPRESSED.test(name) || !all.has(name.replace(COMPRESSED, '')))
  return chosen
    .map((name) => ({ name, order: orderOf(name.slice(base.length).replace(COMPRESSED, '')) }))
    .toSorted((a, b) => a.order.number - b.order.number || (a.order.text < b.order.text ? -1 : 1))
    .slice(-MOST)
    .flatMap(({ name }) => statOf(join(directory, name)))
}

const isRotated = (name: string, base: string): boolean =>
  name.length > base.length + 1 &&
  name.startsWith(base) &&
  /^[.-][\d]/.test(name.slice(base.length)) &&
  !USELESS.test(name)

/** Dates grow with time, and so does their text; plain numbers shrink. Dated ones are taken for the older. */
function orderOf(suffix: string): { readonly number: number; readonly text: string } {
  const number = /^\.(\d{1,5})$/.exec(suffix)?.[1]
  return number === undefined
    ? { number: Number.NEGATIVE_INFINITY, text: suffix }
    : { number: -Number(number), text: '' }
}

/** The file that has the log's own name now. */
export const currentFile = (path: string): Sibling | undefined => statOf(path)[0]

function statOf(path: string): Sibling[] {
  // A link is no file of the log: whoever writes in that directory could point it anywhere.
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (stat === undefined || !stat.isFile()) return []
  const { dev, ino, size, mtimeNs, birthtimeNs } = stat
  const [modifiedMs, bornMs] = [Number(mtimeNs) / 1e6, Number(birthtimeNs) / 1e6]
  return [{ path, dev, ino, size: Number(size), modifiedMs, bornMs, compressed: COMPRESSED.test(path) }]
}
