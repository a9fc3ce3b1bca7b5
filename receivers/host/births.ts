// Control groups as the kernel itself tells of them (bpf/cgroup_events.bpf.c). Watches tell of a directory that may be
// gone when we look; this source knows id, path and times all the same.
import { readFileSync, statfsSync } from 'node:fs'
import { uptime } from 'node:os'
import type { BpfObject } from '../../native/index.ts'
import { bpfPath } from '../../native/paths.ts'
import type { Logger } from '../receiver.ts'
import { canonicalTree } from './canonical_tree.ts'
import { decodeCgroupEvents } from './cgroup_events.ts'
import type { CgroupTree } from './cgroups.ts'
import type { CgroupLayout } from './host.ts'

export type Births = {
  /** Tells the tree what the kernel has told us. Cheap: the ring is memory of ours. */
  drain(): void
  /** By id of the control group: processes that the kernel killed for memory, as of the last drain. */
  oomKills(): ReadonlyMap<number, number>
  /** Records that did not fit into the ring, or were not what we know, and events that the kernel did not tell. */
  readonly lost: number
  stop(): void
}

/** statfs(2): CGROUP2_SUPER_MAGIC and CGROUP_SUPER_MAGIC. */
const CGROUP_FILE_SYSTEMS = new Set([0x63677270, 0x27e0eb])
/** The ring holds some two thousand records. */
const DRAIN_EVERY_MS = 1000
const AT_A_TIME = 256 << 10

/** Undefined where the kernel does not take the programs, or where the tree is a captured one: then watches are all. */
export async function openBirths(layout: CgroupLayout, tree: CgroupTree, log: Logger): Promise<Births | undefined> {
  try {
    if (!CGROUP_FILE_SYSTEMS.has(statfsSync(layout.root).type)) return undefined
    const { loadWhatWorks } = await import('../../native/bpf.ts')
    const { object, programs, refused } = loadWhatWorks(readFileSync(bpfPath('cgroup_events')), {
      groups: { made: ['on_mkdir'], removed: ['on_rmdir'], victims: ['on_victim_exit'] },
      constants: { hierarchy: hierarchyId(layout), canonical_tree: canonicalTree(layout) },
    })
    if (object === undefined || programs.made === undefined || programs.removed === undefined) {
      object?.close()
      throw refused[0]?.error ?? new Error('no program was accepted')
    }
    return follow(object, tree, programs)
  } catch (error) {
    // No loss by itself: a control group that lives for milliseconds stays without a name.
    log.debug('control groups are watched without BPF', { reason: (error as Error).message })
    return undefined
  }
}

type Programs = Readonly<Record<'made' | 'removed' | 'victims', string | undefined>>

function follow(ring: BpfObject, tree: CgroupTree, programs: Programs): Births {
  let damaged = 0
  let victims: ReadonlyMap<number, number> = new Map()

  function drain(): void {
    const bootMs = Date.now() - uptime() * 1000
    for (let bytes = ring.drain('cgroup_events', AT_A_TIME); bytes.length > 0; ) {
      const told = decodeCgroupEvents(bytes)
      damaged += told.damaged
      for (const { kind, id, path, cut, atNs } of told.events) {
        const atMs = bootMs + Number(atNs) / 1e6
        if (kind === 'removed') tree.died(id, atMs)
        else if (!cut) tree.born({ id, path, bornMs: atMs })
      }
      bytes = ring.drain('cgroup_events', AT_A_TIME)
    }
    if (programs.victims !== undefined) victims = readVictims()
  }

  /** Entries of control groups that nobody remembers go. */
  function readVictims(): Map<number, number> {
    const { count, keys, values } = ring.readMap('oom_kills')
    const kills = new Map<number, number>()
    const gone: Buffer[] = []
    for (let at = 0; at < count * 8; at += 8) {
      const id = Number(keys.readBigUInt64LE(at))
      kills.set(id, Number(values.readBigUInt64LE(at)))
      if (tree.byId(id) === undefined && victims.has(id)) gone.push(keys.subarray(at, at + 8))
    }
    if (gone.length > 0) ring.remove('oom_kills', Buffer.concat(gone))
    return kills
  }
  const draining = setInterval(drain, DRAIN_EVERY_MS).unref()

  return {
    drain,
    oomKills: () => victims,
    get lost() {
      const running = Object.values(programs).filter((program) => program !== undefined)
      const passedOver = running.reduce((sum, program) => sum + ring.passedOver(program), 0)
      return damaged + passedOver + Number(ring.lookup('lost', new Uint8Array(4))?.readBigUInt64LE() ?? 0n)
    },
    stop() {
      clearInterval(draining)
      ring.close()
    },
  }
}

/** The kernel's number of the canonical tree, as the first field of /proc/self/cgroup has it; 0 is the v2 tree. */
function hierarchyId({ canonicalController }: CgroupLayout): number {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [id, controllers] = line.split(':')
    if (controllers?.split(',').includes(canonicalController)) return Number(id)
  }
  return 0
}
