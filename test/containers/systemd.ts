// A machine with systemd as PID 1, in a Docker container: Debian's own packages, made once per list of packages.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { atEnd } from '../ending.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

/** What the addon is linked to is among them. */
const PACKAGES = 'systemd,systemd-sysv,dbus,libbpf1,libelf1'
const DEBOOTSTRAP = ['--variant=minbase', `--include=${PACKAGES}`, 'bookworm']

export type Machine = {
  /** Runs a command there; what it printed. */
  run(...command: string[]): Promise<string>
}

/** Its control groups begin at its own root. `mounts` are as docker run has them. It ends with the test. */
export async function startSystemd(t: TestContext, mounts: readonly string[]): Promise<Machine> {
  const image = makeImage()
  const { docker, name } = await startDocker(t, 'systemd')
  const given = name('machine')
  const fixed = ['run', '--detach', '--network', 'none', '--name', given, '--cgroupns', 'private']
  const flags = ['--cap-add', 'SYS_ADMIN', '--cap-add', 'SYS_PTRACE', '--tmpfs', '/run', '--tmpfs', '/run/lock']
  const volumes = mounts.flatMap((mount) => ['--volume', mount])
  atEnd(t, () => docker('rm', '--force', given))
  await docker(...fixed, ...flags, ...volumes, image, '/lib/systemd/systemd')
  const run = (...command: string[]) => docker('exec', given, ...command)
  const isUp = async () => ['running', 'degraded'].includes(await run('systemctl', 'is-system-running'))
  await until('systemd is up', () => isUp().catch(() => false), { deadlineMs: 30_000, everyMs: 200 })
  return { run }
}

function makeImage(): string {
  const hash = createHash('sha256').update(DEBOOTSTRAP.join(' ')).digest('hex').slice(0, 12)
  const image = `leadline-test-systemd:${hash}`
  if (spawnSync('docker', ['image', 'inspect', image], { stdio: 'ignore' }).status === 0) return image
  const folder = mkdtempSync(join(tmpdir(), 'leadline-debian-'))
  try {
    const root = join(folder, 'root')
    execFileSync('debootstrap', [...DEBOOTSTRAP, root], { stdio: ['ignore', 'ignore', 'inherit'] })
    execFileSync('sh', ['-c', 'tar -C "$0" -c . | docker import - "$1"', root, image], { stdio: 'ignore' })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return image
}
