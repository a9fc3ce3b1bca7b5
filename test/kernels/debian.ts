// Debian's kernels for virtual machines, from the mirror that this machine's own apt reads: fetched once, unpacked, and
// kept outside the checkout. Nothing of the machine's apt is changed: lists and state lie in a folder of their own.
// Run by itself (`node test/kernels/debian.ts`) it fetches them and prints where they are.
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Debian's release for each line of kernels. */
const RELEASES = { '5.10': 'bullseye', '6.1': 'bookworm', '6.12': 'trixie' } as const
const META_PACKAGE = 'linux-image-cloud-amd64'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
/** Of its modules we keep networks, what they are made of, and the devices of virtual machines. */
const MODULES = [
  'net',
  'lib',
  'crypto',
  'drivers/virtio',
  'drivers/block/virtio_blk.ko*',
  'drivers/net/{veth,dummy}.ko*',
]

export type Line = keyof typeof RELEASES

export type Kernel = {
  readonly line: Line
  /** As `uname -r` tells it: 6.1.0-50-cloud-amd64. */
  readonly release: string
  readonly vmlinuz: string
  /** Holds lib/modules/<release>, with its modules.dep. */
  readonly root: string
}

/** The first time on a machine it takes some twenty seconds and needs Debian's mirror; later none. */
export async function debianKernel(line: Line): Promise<Kernel> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'leadline/kernels')
  const folder = join(cache, `${line}-${recipe(line)}`)
  if (!existsSync(folder)) await fetch(line, cache, folder)
  const vmlinuz = globSync(join(folder, 'vmlinuz-*'))[0]
  if (vmlinuz === undefined) throw new Error(`no kernel in ${folder} · fix: rm -r ${folder}`)
  return { line, release: basename(vmlinuz).slice('vmlinuz-'.length), vmlinuz, root: folder }
}

/** Another choice of what is kept makes another folder. */
const recipe = (line: Line) =>
  createHash('sha256')
    .update([RELEASES[line], META_PACKAGE, ...MODULES].join('\n'))
    .digest('hex')
    .slice(0, 12)

async function fetch(line: Line, cache: string, folder: string): Promise<void> {
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(join(cache, 'fetching-'))
  try {
    const archive = await download(RELEASES[line], work)
    await run('dpkg-deb', ['-x', archive, join(work, 'package')])
    await keep(join(work, 'package'), join(work, 'kept'))
    renameSync(join(work, 'kept'), folder)
  } catch (cause) {
    if (existsSync(folder)) return // somebody else was quicker; what they fetched is the same
    throw new Error(
      `cannot get the Linux ${line} of Debian ${RELEASES[line]} · fix: apt-get update, and see that the mirror can be reached`,
      { cause },
    )
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function download(suite: string, work: string): Promise<string> {
  const apt = join(work, 'apt')
  mkdirSync(join(apt, 'lists/partial'), { recursive: true })
  mkdirSync(join(apt, 'cache/archives/partial'), { recursive: true })
  const signed = existsSync(KEYRING) ? ` signed-by=${KEYRING}` : ''
  writeFileSync(join(apt, 'sources.list'), `deb [arch=amd64${signed}] ${mirror()} ${suite} main\n`)
  const settings = {
    'Dir::State': apt,
    'Dir::State::lists': join(apt, 'lists'),
    'Dir::Cache': join(apt, 'cache'),
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Acquire::Languages': 'none',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
    'APT::Sandbox::User': 'root',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const ask = (command: string, ...rest: string[]) =>
    run(command, [...options, '-qq', ...rest], { cwd: work, maxBuffer: 1 << 26 })

  await ask('apt-get', 'update')
  const { stdout } = await ask('apt-cache', 'show', META_PACKAGE)
  const name = /^Depends: (linux-image-[^ ,]+)/m.exec(stdout)?.[1]
  if (name === undefined) throw new Error(`${META_PACKAGE} of ${suite} depends on no kernel:\n${stdout}`)
  await ask('apt-get', 'download', name)
  const archive = globSync(join(work, '*.deb'))[0]
  if (archive === undefined) throw new Error(`apt-get downloaded no ${name}`)
  return archive
}

/** Where apt gets Debian itself from. */
export function mirror(): string {
  const about = ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages', 'Origin: Debian', 'Label: Debian']
  const uri = execFileSync('apt-get', about, { encoding: 'utf8' }).split('\n')[0]
  if (!uri) throw new Error('apt knows no mirror of Debian · fix: apt-get update')
  return uri
}

async function keep(unpacked: string, kept: string): Promise<void> {
  const [vmlinuz, modules] = [join(unpacked, 'boot/vmlinuz-*'), join(unpacked, '{,usr/}lib/modules/*')].map(
    (pattern) => globSync(pattern)[0] ?? '',
  )
  if (!vmlinuz || !modules) throw new Error(`the package has no kernel or no modules`)
  const release = basename(modules)
  const target = join(kept, 'lib/modules', release)
  mkdirSync(target, { recursive: true })
  renameSync(vmlinuz, join(kept, basename(vmlinuz)))
  for (const file of globSync(join(modules, 'modules.*'))) cpSync(file, join(target, basename(file)))
  for (const path of globSync(MODULES, { cwd: join(modules, 'kernel') })) {
    cpSync(join(modules, 'kernel', path), join(target, 'kernel', path), { recursive: true })
  }
  const packed = globSync(join(target, '**/*.ko.xz'))
  if (packed.length > 0) await run('xz', ['-d', ...packed]) // busybox cannot
  await run('depmod', ['-b', kept, release])
}

if (import.meta.main) {
  const kernels = await Promise.all((Object.keys(RELEASES) as Line[]).map(debianKernel))
  process.stdout.write(`${JSON.stringify(kernels, undefined, 2)}\n`)
}
