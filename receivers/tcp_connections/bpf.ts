// The programs that count connections in the kernel (bpf/tcp_connections.bpf.c): loading, and what goes to and fro.
import { readFileSync } from 'node:fs'
import { type Loaded, loadWhatWorks, refusalText } from '../../native/bpf.ts'
import type { MapContent } from '../../native/index.ts'
import { onNotice } from '../../native/notices.ts'
import { bpfPath } from '../../native/paths.ts'
import { canonicalTree } from '../host/canonical_tree.ts'
import type { CgroupLayout } from '../host/host.ts'

/** Conntrack forgets what was reset after 10 s; asked within 100 ms none of 40 000 was missed. */
export const PAUSE_MS = 100
/** In place of a control group, as bpf/tcp_totals.h has it. */
export const ALL_GROUPS = 2 ** 63
const ONLY_KEY = new Uint8Array(4)
const AT_A_TIME = 1 << 20
/** Three seconds of 45 000 connections each. */
const MOST_KEPT = 32 << 20
const COUNTERS = [
  'no_room_for_socket',
  'folded',
  'ring_full',
  'lost',
  'direction_unclear',
  'opening_unseen',
  'end_unseen',
  'end_lost',
] as const

/**
 * `passed_over`: events that the kernel did not tell, because the program was under way on that CPU. What they were about
 * is counted later, as `opening_unseen` or `end_unseen`. `reset_passed_over`: connections that we reset, uncounted.
 */
export type Losses = Readonly<Record<(typeof COUNTERS)[number] | 'passed_over' | 'reset_passed_over', number>>

export type Counting = {
  /** Whether living sockets can be looked at: their bytes, those that were there before us, and who listens. */
  readonly passes: boolean
  readonly resets: boolean
  readonly variant: string
  /** Looks at all sockets that a process holds. Returns struct record, end to end. */
  pass(): Buffer
  /** Number of the pass under way: what was measured since it began has it. */
  readonly passNumber: number
  totals(): MapContent
  total(key: Uint8Array): Buffer | undefined
  /** What is told one by one, since the last call. */
  drain(): Buffer
  /** Calls `take`, soon after something was told. What is told meanwhile is kept, however long JavaScript stands still. */
  follow(take: () => void): void
  /** Destinations (struct destination) that nobody translates. */
  setDirect(destination: Uint8Array, isDirect: boolean): void
  forget(keys: readonly Uint8Array[]): void
  /** Whether a control group is in no container: whoever holds its sockets is asked then. False when there is no room. */
  setNobody(cgroup: number, isNobody: boolean): boolean
  /** Who holds a listening socket (struct listener) that somebody else made; 0: nobody else any more. */
  setHolder(listener: Uint8Array, cgroup: number): boolean
  /** How many keys a control group has now, and all together under ALL_GROUPS; 0 keys: it is gone. */
  setQuota(cgroup: number, used: number): void
  losses(): Losses
  memoryBytes(): number
  close(): void
}

export type CountingOptions = {
  readonly layout: CgroupLayout
  /** Whether connections to destinations of unknown class are told one by one. */
  readonly resolve: boolean
  readonly maxDestinations: number
  /** Whether what was open before counts, with all its bytes. */
  readonly history: boolean
  /** Other sizes of the maps, by name. */
  readonly mapEntries?: Readonly<Record<string, number>>
}

type Programs = Loaded<'states' | 'freed' | 'sent' | 'pass' | 'sockets'>

/** Counting begins at once. Throws with a remedy when this kernel takes no program that sees connections. */
export function openCounting({ layout, resolve, maxDestinations, history, mapEntries }: CountingOptions): Counting {
  const { object, programs, refused }: Programs = loadWhatWorks(readFileSync(bpfPath('tcp_connections')), {
    groups: {
      states: ['on_state_btf', 'on_state_alone', 'on_state_raw', 'on_state_tp'],
      freed: ['on_freed_btf', 'on_freed_alone', 'on_freed_raw'],
      sent: ['on_reset_sent_btf', 'on_reset_sent_raw'],
      pass: ['pass_over_files'],
      sockets: ['pass_over_sockets'],
    },
    over: { pass_over_sockets: 'sockets' },
    constants: {
      canonical_tree: canonicalTree(layout),
      resolve: resolve ? 1 : 0,
      max_destinations: maxDestinations,
      history: history ? 1 : 0,
    },
    ...(mapEntries !== undefined && { mapEntries }),
  })
  const { states, freed, pass: iterator, sockets, sent } = programs
  if (object === undefined || states === undefined) {
    object?.close()
    throw new Error(
      `the kernel refuses the BPF programs (${refusalText(refused)}) · fix: grant CAP_BPF and CAP_PERFMON, or run as root; Linux 5.8 or newer with BTF`,
    )
  }
  let number = 1
  let stopFollowing = () => {}
  countPass()

  function countPass(): void {
    const value = Buffer.alloc(4)
    value.writeUInt32LE(number)
    object?.update('pass', ONLY_KEY, value)
  }

  /** False when the map is full. */
  function tryUpdate(map: string, key: Uint8Array, value: Uint8Array): boolean {
    try {
      object?.update(map, key, value)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'E2BIG') throw error
      return false
    }
  }

  return {
    passes: iterator !== undefined,
    resets: sent !== undefined,
    variant: states,
    pass() {
      if (iterator === undefined) return Buffer.alloc(0)
      number++
      countPass()
      if (sockets !== undefined) object.iterate(sockets)
      return object.iterate(iterator)
    },
    get passNumber() {
      return number
    },
    totals: () => object.readMap('totals'),
    total: (key) => object.lookup('totals', key),
    drain() {
      const parts: Buffer[] = []
      for (let bytes = object.drain('records', AT_A_TIME); bytes.length > 0; ) {
        parts.push(bytes)
        bytes = object.drain('records', AT_A_TIME)
      }
      return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
    },
    follow(take) {
      stopFollowing = onNotice(object.follow('records', PAUSE_MS, MOST_KEPT), take)
    },
    setDirect(destination, isDirect) {
      if (isDirect) object.update('direct', destination, DIRECT)
      else object.remove('direct', destination)
    },
    forget(keys) {
      if (keys.length > 0) object.remove('totals', Buffer.concat(keys))
    },
    setNobody(cgroup, isNobody) {
      if (isNobody) return tryUpdate('nobody', u64(cgroup), u64(1))
      object.remove('nobody', u64(cgroup))
      return true
    },
    setHolder(listener, cgroup) {
      if (cgroup !== 0) return tryUpdate('listeners', listener, u64(cgroup))
      object.remove('listeners', listener)
      return true
    },
    setQuota(cgroup, used) {
      const key = u64(cgroup)
      if (used === 0) object.remove('quotas', key)
      else object.update('quotas', key, Uint8Array.from(new Uint8Array(new Uint32Array([used]).buffer)))
    },
    losses() {
      const value = object.lookup('counters', ONLY_KEY)
      const at = (i: number) => Number(value?.readBigUInt64LE(i * 8) ?? 0n)
      const counted = Object.fromEntries(COUNTERS.map((name, i) => [name, at(i)])) as Losses
      const missedBy = (program: string | undefined) => (program === undefined ? 0 : object.passedOver(program))
      return {
        ...counted,
        passed_over: missedBy(states) + missedBy(freed),
        reset_passed_over: missedBy(sent),
      }
    },
    memoryBytes: () => object.memory(),
    close() {
      stopFollowing()
      object.close()
    },
  }
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

const DIRECT = Buffer.alloc(8, 1)
