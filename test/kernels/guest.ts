// Boots a Debian kernel in QEMU with the real agent's parts inside, and reads what the program there tells.
// The root is one read-only ext4 image for all guests: Node, the addon with its libraries, our BPF objects, the tools.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { addonPath, root as checkout } from '../../native/paths.ts'
import { buildTool } from '../tools/build.ts'
import type { Kernel } from './debian.ts'

const TOOLS = ['burner', 'connections', 'fork_storm']
/** Read by init, which inserts `modules/<release>/00-…` in their order. */
const MODULES = [
  'virtio_pci',
  'virtio_blk',
  'veth',
  'ip_vs_rr',
  'nf_conntrack_netlink',
  'nft_chain_nat',
  'nft_nat',
  'nft_ct',
  'tcp_diag',
]
/** Programs of this machine that the guests have too, where busybox has none or a lesser one. */
const PROGRAMS = ['ip', 'ipvsadm', 'nft']
const PATIENCE_MS = 180_000

export type Image = { readonly path: string; remove(): void }

/** The guests' root. `kernels` are those that boot it: their modules are inside. */
export async function makeImage(kernels: readonly Kernel[]): Promise<Image> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-guest-'))
  const root = join(folder, 'root')
  for (const path of [
    'dev',
    'proc',
    'sys',
    'tmp',
    'run',
    'bin',
    'leadline/tools',
    'leadline/native/build',
    'leadline/bpf',
  ]) {
    mkdirSync(join(root, path), { recursive: true })
  }
  const addon = join(root, 'leadline/native/build', basename(addonPath))
  cpSync(addonPath, addon)
  cpSync(join(checkout, 'bpf/build'), join(root, 'leadline/bpf/build'), { recursive: true })
  for (const source of globSync(join(checkout, 'bpf/*.bpf.c')))
    cpSync(source, join(root, 'leadline/bpf', basename(source)))
  for (const tool of TOOLS) cpSync(buildTool(tool), join(root, 'leadline/tools', tool))
  cpSync(process.execPath, join(root, 'bin/node'))
  cpSync('/bin/busybox', join(root, 'bin/busybox'))
  for (const name of busyboxNames()) if (name !== 'busybox') symlinkSync('busybox', join(root, 'bin', name))
  const programs = PROGRAMS.map((name) => execFileSync('which', [name], { encoding: 'utf8' }).trim())
  for (const program of programs) {
    rmSync(join(root, 'bin', basename(program)), { force: true })
    cpSync(realpathSync(program), join(root, 'bin', basename(program)))
  }
  for (const library of librariesOf(process.execPath, addonPath, ...programs)) {
    mkdirSync(join(root, dirname(library)), { recursive: true })
    copyFileSync(library, join(root, library))
  }
  for (const kernel of kernels) copyModules(kernel, root)
  cpSync(join(import.meta.dirname, 'init.sh'), join(root, 'init'))
  chmodSync(join(root, 'init'), 0o755)
  await bundle(join(root, 'leadline/inside.mjs'))

  const path = join(folder, 'root.ext4')
  await promisify(execFile)('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', root, path, '300M'])
  rmSync(root, { recursive: true })
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

const busyboxNames = () => execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')

/** With the loader. As the machine has them: what runs inside is what runs here. */
function librariesOf(...binaries: readonly string[]): Set<string> {
  const told = execFileSync('ldd', [...binaries], { encoding: 'utf8' })
  return new Set([...told.matchAll(/^\t(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path = '']) => path))
}

function copyModules({ root: from, release }: Kernel, root: string): void {
  const target = join(root, 'modules', release)
  mkdirSync(target, { recursive: true })
  const wanted = MODULES.flatMap((name) => {
    const told = execFileSync('modprobe', ['-d', from, '-S', release, '--show-depends', name], { encoding: 'utf8' })
    return [...told.matchAll(/^insmod (\S+)/gm)].map(([, path = '']) => path)
  })
  for (const [i, path] of [...new Set(wanted)].entries()) {
    cpSync(path, join(target, `${String(i).padStart(3, '0')}-${basename(path)}`))
  }
}

/** One file, because stripping types takes seconds in a machine that is emulated. */
async function bundle(outfile: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, 'inside.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node22',
    format: 'esm',
    external: ['ssh2', '@grpc/proto-loader', 'protobufjs', 'tar-fs', 'cpu-features', 'esbuild'],
    logLevel: 'warning',
  })
}

export type Boot = { readonly kernel: Kernel; readonly parameters?: string }

/** What the program inside told, in its order. Throws with the console's last lines when it did not come to its end. */
export async function boot(image: Image, { kernel, parameters = '' }: Boot): Promise<unknown[]> {
  const told = `${image.path}.${randomUUID()}`
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      // no_timer_check: on a busy machine the emulated timer comes later than the kernel takes for granted.
      // One vCPU: with two, an emulated 6.12 panics at random places.
      ...['-accel', 'tcg', '-smp', '1', '-m', '512', '-nodefaults', '-no-reboot', '-nographic'],
      ...[
        '-kernel',
        kernel.vmlinuz,
        '-append',
        `console=ttyS0 panic=-1 quiet no_timer_check root=/dev/nvme0n1 ro init=/init ${parameters}`,
      ],
      // Its driver is built in, and it is the only one of its kind: names of several are given in any order.
      ...[
        '-drive',
        `if=none,id=root,format=raw,readonly=on,file=${image.path}`,
        '-device',
        'nvme,serial=root,drive=root',
      ],
      // /dev/vda answers 20 requests a second: whoever waits for it, waits.
      ...['-drive', 'if=virtio,driver=null-co,size=64M,throttling.iops-total=20'],
      ...['-serial', 'stdio', '-serial', `file:${told}`],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE_MS, killSignal: 'SIGKILL' },
  )
  let console = ''
  for (const output of [qemu.stdout, qemu.stderr]) output.setEncoding('utf8').on('data', (text) => (console += text))
  await new Promise((resolve, reject) => qemu.once('error', reject).once('close', resolve))

  const lines = existsSync(told) ? readFileSync(told, 'utf8').split(/\r?\n/).filter(Boolean) : []
  if (lines.at(-1) !== '"end"') {
    throw new Error(
      `Linux ${kernel.release} ${parameters} did not come to the end; its console:\n${console.slice(-4000)}`,
    )
  }
  return lines.slice(0, -1).map((line) => JSON.parse(line) as unknown)
}
