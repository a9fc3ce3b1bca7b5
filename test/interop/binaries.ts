// A real Collector, a real Prometheus and promtool: built once from test/interop/collector, kept outside the checkout.
// Run by itself (`node test/interop/binaries.ts`) it builds them and prints where they are.
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const source = join(import.meta.dirname, 'collector')
const SOURCES = ['go.mod', 'go.sum', 'main.go']
const PACKAGES = [
  '.',
  'github.com/prometheus/prometheus/cmd/prometheus',
  'github.com/prometheus/prometheus/cmd/promtool',
]

export type Binaries = { readonly otelcol: string; readonly prometheus: string; readonly promtool: string }

/** Paths. The first time on a machine it takes about three minutes of two cores and needs the Go module proxy. */
export async function interopBinaries(): Promise<Binaries> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'leadline/interop')
  const folder = join(cache, contentHash())
  if (!existsSync(folder)) await build(cache, folder)
  return {
    otelcol: join(folder, 'otelcol'),
    prometheus: join(folder, 'prometheus'),
    promtool: join(folder, 'promtool'),
  }
}

function contentHash(): string {
  const hash = createHash('sha256').update(execFileSync('go', ['version'], { env: environment() }))
  for (const name of SOURCES) hash.update(name).update(readFileSync(join(source, name)))
  return hash.digest('hex')
}

/** Prometheus does not build without these tags: one of its discovery plug-ins cannot be had. */
async function build(cache: string, folder: string): Promise<void> {
  mkdirSync(cache, { recursive: true })
  const unfinished = mkdtempSync(join(cache, 'building-'))
  const flags = ['-trimpath', '-buildvcs=false', '-tags=remove_all_sd,netgo', '-ldflags=-s -w']
  try {
    await promisify(execFile)('nice', ['-n', '5', 'go', 'build', ...flags, '-o', `${unfinished}/`, ...PACKAGES], {
      cwd: source,
      env: environment(),
      maxBuffer: 1 << 26,
    })
    renameSync(unfinished, folder)
  } catch (error) {
    // Somebody else may have finished first; what they built is the same.
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

const environment = () => ({ ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local' })

if (import.meta.main) process.stdout.write(`${JSON.stringify(await interopBinaries(), undefined, 2)}\n`)
