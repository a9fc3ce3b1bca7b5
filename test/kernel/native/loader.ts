// The BPF object that the tests load (test/fixtures/bpf/loader.bpf.c), and what of it is in the kernel.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BpfObject, loadBpf } from '../../../native/index.ts'

function output(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')}: ${stderr}`)
  return stdout
}

const has = (command: string) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

/** Compiles the fixture; takes about a tenth of a second. */
export function buildLoader(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-loader-'))
  try {
    const object = join(folder, 'loader.bpf.o')
    const headers = `/usr/include/${output('gcc', '-print-multiarch').trim()}`
    const clang = ['clang-19', 'clang'].find(has) ?? 'clang'
    const flags = ['-target', 'bpf', '-g', '-O2', '-Wall', '-Werror', `-I${headers}`]
    output(clang, ...flags, '-c', 'test/fixtures/bpf/loader.bpf.c', '-o', object)
    return readFileSync(object)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Loads it with everything that an object can hold: programs, maps, a link, an iterator's link, a mapped ring. */
export function holdAll(object: Uint8Array): BpfObject {
  const loaded = loadBpf(object, { programs: ['works', 'tasks'] })
  loaded.attach('works')
  loaded.iterate('tasks')
  loaded.drain('ring', 100)
  return loaded
}

/** `prog 12`, `map 7`, `link 3` of every BPF descriptor that this process holds, as its fdinfo tells. */
export function heldByUs(): Set<string> {
  const held = new Set<string>()
  for (const fd of readdirSync('/proc/self/fdinfo')) {
    try {
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
      const id = /^(link_id|map_id|prog_id):\s*(\d+)$/m.exec(info)
      if (id) held.add(`${id[1]?.replace('_id', '')} ${id[2]}`)
    } catch {} // the descriptor of the listing itself
  }
  return held
}

/** The same for the whole machine, as bpftool lists it. Ids are not used twice. */
export function inTheKernel(): Set<string> {
  const list = (kind: string) => {
    const all = JSON.parse(output('bpftool', '-j', kind, 'list')) as { id: number }[]
    return all.map(({ id }) => `${kind} ${id}`)
  }
  return new Set(['prog', 'map', 'link'].flatMap(list))
}

/** What of `ids` is still in the kernel after at most 10 s: it frees programs and maps after a grace period. */
export async function remains(ids: ReadonlySet<string>): Promise<string[]> {
  for (const deadlineMs = Date.now() + 10_000; ; await sleep(50)) {
    const now = inTheKernel()
    const left = [...ids].filter((id) => now.has(id))
    if (left.length === 0 || Date.now() > deadlineMs) return left
  }
}
