// Builds a C program of this folder, once per content: `buildTool('fork_storm')` is the path of the binary.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'

/** Static, so that it also runs inside an image that holds nothing else. */
export const buildTool = (name: string): string => build(name, '-static', '-pthread')

/** For LD_PRELOAD. */
export const buildLibrary = (name: string): string => build(name, '-shared', '-fPIC')

function build(name: string, ...flags: readonly string[]): string {
  const source = join(import.meta.dirname, `${name}.c`)
  const headers = globSync(join(import.meta.dirname, '*.h')).toSorted()
  const contents = createHash('sha256')
  for (const path of [source, ...headers]) contents.update(readFileSync(path))
  const hash = contents.digest('hex').slice(0, 12)
  const folder = join(import.meta.dirname, 'build')
  const binary = join(folder, `${name}-${hash}`)
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    execFileSync('cc', ['-O2', '-Wall', '-Werror', ...flags, '-o', `${binary}.${process.pid}`, source])
    renameSync(`${binary}.${process.pid}`, binary)
  }
  return binary
}
