// Reads the files of cgroups in bulk, keeps them open from the second time on, and learns which are not there.
// A file that stays open costs a third of one that is opened each time, and a sixth of readFileSync.
import { join } from 'node:path'
import { getSystemErrorName } from 'node:util'
import { type FileContents, type OpenFiles, openFiles, readFiles } from '../../native/index.ts'
import type { Cgroup } from '../host/host.ts'
import type { Say, Source } from './sources.ts'

/** A file of a living cgroup that is missing is looked for again after 1, 2, 4 … collections, and at last after 64. */
const LONGEST_REST = 64

/** So many of the process' descriptors may stay in our hands. What is above is opened each time. */
const MOST_HELD = 6000
let heldFiles = 0

/**
 * The cgroup has ended, this kernel or this cgroup has no such file (a controller that is not enabled here),
 * or pressure is switched off (EOPNOTSUPP before 5.13).
 */
const ABSENT = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR', 'EOPNOTSUPP', 'ENOTSUP'])

export type Complain = (file: string, error: Error) => void

export type Reading = {
  /** Reads what the sources tell of one cgroup. */
  read(cgroup: Cgroup, say: Say, complain: Complain): void
  /** Closes the files of cgroups that were not read since the last time. */
  sweep(): void
  close(): void
}

type Plan = {
  /** By source. */
  readonly paths: readonly (readonly string[])[]
  /** By source: collections to go until it is looked for, and the length of its next rest. */
  readonly rest: Uint8Array
  readonly nextRest: Uint8Array
  /** Sources whose files are open, in the order of the files. */
  held: { readonly files: OpenFiles; readonly sources: readonly number[]; readonly count: number } | undefined
  isNew: boolean
  isRead: boolean
}

export function createReading(sources: readonly Source[]): Reading {
  const plans = new Map<Cgroup, Plan>()

  function planOf(cgroup: Cgroup): Plan {
    let plan = plans.get(cgroup)
    if (plan === undefined) {
      plan = {
        paths: sources.map(({ mount, files }) => files.map((file) => join(mount, cgroup.path, file))),
        rest: new Uint8Array(sources.length),
        nextRest: new Uint8Array(sources.length).fill(1),
        held: undefined,
        isNew: true,
        isRead: true,
      }
      plans.set(cgroup, plan)
    }
    return plan
  }

  const pathsOf = (plan: Plan, chosen: readonly number[]) => chosen.flatMap((i) => plan.paths[i] ?? [])

  /** Says what these sources tell. True when each of them is there. */
  function take(plan: Plan, chosen: readonly number[], contents: FileContents, say: Say, complain: Complain): boolean {
    const { data, ends, errors } = contents
    let at = 0
    let complete = true
    for (const i of chosen) {
      const source = sources[i]
      if (source === undefined) continue
      const name = source.files.join()
      const texts: string[] = []
      let absent = false
      for (const path of plan.paths[i] ?? []) {
        const code = errors[at] ? getSystemErrorName(errors[at] ?? 0) : ''
        if (code === '') texts.push(data.toString('latin1', ends[at - 1] ?? 0, ends[at]))
        else if (ABSENT.has(code)) absent = true
        else complain(name, unreadable(path, code))
        at++
      }
      if (absent) {
        complete = false
        const rest = plan.nextRest[i] ?? 1
        plan.rest[i] = rest
        plan.nextRest[i] = Math.min(rest * 2, LONGEST_REST)
        continue
      }
      plan.nextRest[i] = 1
      const junk = texts.length < source.files.length ? undefined : source.read(say, ...texts)
      if (junk !== undefined) complain(name, unexpected((plan.paths[i] ?? []).join(' and '), junk))
    }
    return complete
  }

  function hold(plan: Plan, chosen: readonly number[]): void {
    const paths = pathsOf(plan, chosen)
    if (paths.length === 0 || heldFiles + paths.length > MOST_HELD) return
    heldFiles += paths.length
    plan.held = { files: openFiles(paths), sources: chosen, count: paths.length }
  }

  function release(plan: Plan): void {
    if (plan.held === undefined) return
    plan.held.files.close()
    heldFiles -= plan.held.count
    plan.held = undefined
  }

  return {
    read(cgroup, say, complain) {
      const plan = planOf(cgroup)
      plan.isRead = true
      // What most ended cgroups lived through is one collection: only who comes again has its files kept open.
      if (!plan.isNew && plan.held === undefined)
        hold(
          plan,
          [...sources.keys()].filter((i) => plan.nextRest[i] === 1),
        )
      plan.isNew = false

      const held = plan.held?.sources ?? []
      const looked: number[] = []
      for (let i = 0; i < sources.length; i++) {
        if (held.includes(i)) continue
        const rest = plan.rest[i] ?? 0
        if (rest > 0) plan.rest[i] = rest - 1
        else looked.push(i)
      }
      // An open file stays dead when its controller is switched off and on again, so all of them are opened anew.
      if (plan.held !== undefined && !take(plan, held, plan.held.files.read(), say, complain)) release(plan)
      if (looked.length === 0) return
      take(plan, looked, readFiles(pathsOf(plan, looked)), say, complain)
      if (looked.some((i) => plan.nextRest[i] === 1)) release(plan)
    },
    sweep() {
      for (const [cgroup, plan] of plans) {
        if (!plan.isRead) {
          release(plan)
          plans.delete(cgroup)
        }
        plan.isRead = false
      }
    },
    close() {
      for (const plan of plans.values()) release(plan)
      plans.clear()
    },
  }
}

const unreadable = (path: string, code: string) =>
  new Error(`cannot read ${path}: ${code} · fix: run as root, or mount the cgroup file systems readable`)

const unexpected = (path: string, junk: string) =>
  new Error(
    `cannot understand ${JSON.stringify(junk.slice(0, 40))} in ${path} · fix: report this line and what uname -r prints`,
  )
