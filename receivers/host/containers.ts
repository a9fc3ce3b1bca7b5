// Whose subtree a cgroup lies in, and what runtimes and systemd say of that container.
import { basename } from 'node:path/posix'
import type { CgroupTree } from './cgroups.ts'
import { appId, containerId, isSystemUnit, type RuntimeInfo, type UnitInfo } from './container_id.ts'
import { type Placed, placeOf } from './container_path.ts'
import type { Attribution, Cgroup, Container } from './host.ts'
import { containerAttributes, type Texts } from './resource.ts'
import { type Answer, type ContainerSource, UNKNOWN } from './source.ts'
import type { UnitSource } from './systemd.ts'

export type Containers = {
  attribution(cgroup: Cgroup): Attribution
  living(): Iterable<Container>
  /** The youngest top cgroup of the container with this id of its runtime. */
  topOf(id: string): Cgroup | undefined
  /** What its runtime has written on it; empty when nobody has told. */
  labelsOf(cgroup: Cgroup): RuntimeInfo['labels']
  /** Puts every question that is open, resolves when all are answered. */
  settled(): Promise<void>
  /** A source knows something new of the container with this id of its runtime. */
  changed(id: string): void
  /** Lets go of containers that are not remembered any more. */
  forget(): void
}

type Options = {
  readonly tree: CgroupTree
  readonly sources: readonly ContainerSource[]
  readonly units: UnitSource
  readonly skipSystemUnits: boolean
  readonly texts: Texts
}

/** A container's top cgroup, and the answer about it as long as nothing changes. */
type Top = { readonly cgroup: Cgroup; readonly placed: Placed; answer: Attribution | undefined; last: Described }
/** The last answer that was made and from what, so that the same words are the same Container. */
type Described = { readonly from: string; readonly answer: Attribution }

const NONE: Attribution = { state: 'none' }
const PENDING: Attribution = { state: 'pending' }

export function createContainers({ tree, sources, units, skipSystemUnits, texts }: Options): Containers {
  /** Of each cgroup the container it lies in; null for none. A path never changes, so this is found once. */
  const topOf = new WeakMap<Cgroup, Top | null>()
  const tops = new Map<Cgroup, Top>()
  const byId = new Map<string, Set<Top>>()

  tree.onChange((cgroup) => {
    if (cgroup.endedMs === undefined) findTop(cgroup)
  })

  function findTop(cgroup: Cgroup): Top | null {
    const found = topOf.get(cgroup)
    if (found !== undefined) return found
    const placed = placeOf(cgroup.path)
    let top: Top | null = null
    if (placed?.top === cgroup.path) top = addTop(cgroup, placed)
    else if (placed !== undefined) {
      const parent = tree.parent(cgroup)
      top = parent ? findTop(parent) : null
    }
    topOf.set(cgroup, top)
    return top
  }

  function addTop(cgroup: Cgroup, placed: Placed): Top {
    const top: Top = { cgroup, placed, answer: undefined, last: { from: '', answer: NONE } }
    tops.set(cgroup, top)
    byId.set(placed.id, (byId.get(placed.id) ?? new Set()).add(top))
    return top
  }

  function attributionOf(top: Top): Attribution {
    if (top.answer !== undefined) return top.answer
    const { placed } = top
    if (placed.ask === 'systemd') {
      if (skipSystemUnits && isSystemUnit(placed.id, undefined)) return keep(top, NONE)
      // A user's manager is another systemd, which does not answer to us.
      const unit = placed.id.startsWith('/user.slice/') ? UNKNOWN : units.ask(basename(placed.top))
      if (unit.state === 'pending') return PENDING
      const info = unit.state === 'known' ? unit.info : undefined
      if (skipSystemUnits && isSystemUnit(placed.id, info)) return keep(top, NONE)
      const answer = describe(top, undefined, info)
      return info ? keep(top, answer) : answer
    }
    const runtime = placed.ask === 'runtime' ? askAll(placed) : UNKNOWN
    if (runtime.state === 'pending') return PENDING
    const info = runtime.state === 'known' ? runtime.info : undefined
    const answer = describe(top, info, undefined)
    // A name that only stands in is not kept, so that a runtime which comes later is asked.
    return info !== undefined || placed.ask === 'nobody' ? keep(top, answer) : answer
  }

  function keep(top: Top, answer: Attribution): Attribution {
    top.answer = answer
    return answer
  }

  function askAll(placed: Placed): Answer<RuntimeInfo> {
    let answer: Answer<RuntimeInfo> = UNKNOWN
    for (const source of sources) {
      const said = source.ask(placed)
      if (said.state === 'known') return said
      if (said.state === 'pending') answer = said
    }
    return answer
  }

  function describe(top: Top, info: RuntimeInfo | undefined, unit: UnitInfo | undefined): Attribution {
    const { placed, cgroup } = top
    const from = JSON.stringify([info, unit])
    if (top.last.from === from) return top.last.answer
    let answer = NONE
    const id = containerId(placed, info, Date.now())
    if (id !== undefined) {
      const workload = appId(id)
      const container: Container = {
        containerId: texts.bounded(id),
        appId: texts.bounded(workload),
        runtime: info?.runtime ?? placed.runtime,
        top: cgroup,
        resource: containerAttributes(placed, info, workload, texts),
        image: texts.bounded(info?.image ?? ''),
        ...(unit && { systemd: unit }),
      }
      answer = { state: 'container', container }
    }
    top.last = { from, answer }
    return answer
  }

  return {
    attribution(cgroup) {
      const top = findTop(cgroup)
      return top === null ? NONE : attributionOf(top)
    },
    *living() {
      for (const top of tops.values()) {
        if (top.cgroup.endedMs !== undefined) continue
        const whose = attributionOf(top)
        if (whose.state === 'container') yield whose.container
      }
    },
    topOf(id) {
      let youngest: Cgroup | undefined
      for (const { cgroup } of byId.get(id) ?? []) {
        if (youngest === undefined || cgroup.bornMs >= youngest.bornMs) youngest = cgroup
      }
      return youngest
    },
    labelsOf(cgroup) {
      const placed = findTop(cgroup)?.placed
      const answer = placed?.ask === 'runtime' ? askAll(placed) : UNKNOWN
      return answer.state === 'known' ? answer.info.labels : {}
    },
    async settled() {
      for (const top of tops.values()) attributionOf(top)
      await Promise.all([units.settled(), ...sources.map((source) => source.settled())])
      // Answers may have been what a second question waited for.
      for (const top of tops.values()) attributionOf(top)
    },
    changed(id) {
      for (const top of byId.get(id) ?? []) top.answer = undefined
    },
    forget() {
      for (const [cgroup, top] of tops) {
        if (cgroup.endedMs === undefined || tree.byId(cgroup.id) !== undefined) continue
        tops.delete(cgroup)
        const same = byId.get(top.placed.id)
        same?.delete(top)
        if (same?.size === 0) byId.delete(top.placed.id)
      }
    },
  }
}
