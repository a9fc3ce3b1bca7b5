// Real Docker containers for tests, over the docker command. Everything is removed when the test ends, however it ends.
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { atEnd } from '../ending.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'

const BUSYBOX = '/bin/busybox'
const APPLETS = ['sh', 'sleep', 'echo', 'cat', 'true', 'yes', 'dd', 'nc', 'wget', 'seq', 'usleep', 'kill', 'ls', 'rm']
/** C programs of test/tools; in the image they are /bin/burner and so on. */
const TOOLS = ['burner', 'connections', 'latency', 'fork_storm', 'log_writer']

export type Container = { readonly id: string; readonly name: string }

export type Docker = {
  /** Of our image, with busybox and the tools. */
  readonly image: string
  /** The docker command, against this daemon. Resolves with what it printed. */
  docker(...args: string[]): Promise<string>
  /** A name nobody else has. */
  name(label: string): string
  /** Starts a container without a network and without waiting for its end. */
  run(
    label: string,
    given: { readonly flags?: readonly string[]; readonly command: readonly string[] },
  ): Promise<Container>
  /** Kills and removes. */
  remove(...containers: Container[]): Promise<void>
  /** Removes all that is left. */
  close(): Promise<void>
}

let count = 0

/** Closed when the test ends. */
export async function startDocker(t: TestContext, area: string, host?: string): Promise<Docker> {
  const docker = await openDocker(area, host)
  atEnd(t, () => docker.close())
  return docker
}

/** `area` goes first in every name. `host` is another daemon's socket, `unix:///…`. */
export async function openDocker(area: string, host?: string): Promise<Docker> {
  const command = promisify(execFile)
  const ours = `leadline.test=${process.pid}-${++count}`
  const daemon = host === undefined ? [] : ['-H', host]
  async function docker(...args: string[]): Promise<string> {
    const { stdout } = await command('docker', [...daemon, ...args], { maxBuffer: 1 << 26 })
    return stdout.trimEnd()
  }
  const name = (label: string) => `leadline-${area}-${process.pid}-${++count}-${label}`
  const image = await importImage(daemon)
  return {
    image,
    docker,
    name,
    async run(label, { flags = [], command }) {
      const given = name(label)
      const fixed = ['run', '--detach', '--network', 'none', '--label', ours, '--name', given]
      // Docker replaces a name that it does not like by an error, so what it prints last is the id.
      const id = (await docker(...fixed, ...flags, image, ...command)).split('\n').at(-1) ?? ''
      return { id, name: given }
    },
    async remove(...containers) {
      if (containers.length > 0) await docker('rm', '--force', ...containers.map(({ id }) => id))
    },
    async close() {
      // One that removes itself may be on its way: then docker refuses, and it is gone a moment later.
      await until(
        'our containers are gone',
        async () => {
          const left = await docker('ps', '--all', '--quiet', '--filter', `label=${ours}`)
          if (left !== '') await docker('rm', '--force', ...left.split('\n')).catch(() => undefined)
          return left === ''
        },
        { deadlineMs: 60_000 },
      )
    },
  }
}

/** One image per content, so that every test and every daemon makes it at most once. */
async function importImage(daemon: readonly string[]): Promise<string> {
  const programs = TOOLS.map((tool) => ({ tool, path: buildTool(tool) }))
  const hash = createHash('sha256').update(readFileSync(BUSYBOX))
  for (const { path } of programs) hash.update(readFileSync(path))
  const image = `leadline-test:${hash.digest('hex').slice(0, 12)}`
  const images = execFileSync('docker', [...daemon, 'images', '--quiet', image], { encoding: 'utf8' })
  if (images.trim() !== '') return image

  const folder = mkdtempSync(join(tmpdir(), 'leadline-image-'))
  try {
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    mkdirSync(join(folder, 'tmp'))
    copyFileSync(BUSYBOX, join(bin, 'busybox'))
    for (const applet of APPLETS) symlinkSync('busybox', join(bin, applet))
    for (const { tool, path } of programs) copyFileSync(path, join(bin, tool))
    const tar = execFileSync('tar', ['-C', folder, '-c', '.'], { maxBuffer: 1 << 28 })
    execFileSync('docker', [...daemon, 'import', '-', image], { input: tar, stdio: ['pipe', 'ignore', 'pipe'] })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return image
}
