// What logrotate and runtimes do to the files of a log.
import { copyFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

/** Renames it, and those that were renamed before: .1, .2 … up to `old`. */
export function shift(path: string, old: number): void {
  for (let i = old; i > 0; i--) renameSync(i === 1 ? path : `${path}.${i - 1}`, `${path}.${i}`)
}

export function copyAndTruncate(path: string, suffix = '.1'): void {
  copyFileSync(path, `${path}${suffix}`)
  truncateSync(path)
}

export function compress(path: string): void {
  writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)))
  rmSync(path)
}
