// What only attribution can know of a container: what it is, and how often it was started anew under its name.
import type { Container, HostIdentity } from '../../receivers/host/host.ts'
import type { Attributes, Metric } from '../../receivers/receiver.ts'
import type { Batch, Point } from '../processor.ts'
import { containerResource } from './container.ts'

const info: Metric = {
  kind: 'updowncounter',
  unit: '{container}',
  description: 'What the container is: its image, or how systemd starts the unit. Always 1.',
  attributes: ['image', 'systemd_triggered_by', 'systemd_type'],
}
const restarts: Metric = {
  kind: 'counter',
  unit: '{restart}',
  description: 'Times the container was started anew under its name.',
}

export const metrics = { 'container.info': info, 'container.restarts': restarts } as const

/**
 * How long a name is remembered after its container ended. A container that comes back within that time was
 * restarted; Kubernetes waits up to five minutes between two starts of one that keeps failing.
 */
const REMEMBERED_MS = 3_600_000

/** Silent for so long, a receiver is no longer the one whose batches carry our metrics. */
const SILENT_MS = 300_000

export type Life = {
  /** A container was seen, alive or in the numbers it left. Cheap when it is known. */
  note(container: Container): void
  /** Our points, when this batch is the one to carry them; none otherwise. */
  points(batch: Batch, living: Iterable<Container>, identity: HostIdentity): Point[]
}

type Incarnation = { container: Container; readonly restarts: 0 | 1; told: boolean }

const NO_ATTRIBUTES: Attributes = Object.freeze({})

/**
 * Every batch passes here, and one receiver's is enough to carry `container.info` and `container.restarts`:
 * that of the first which had something to say of a container.
 */
export function createLife(): Life {
  /** By id of the top cgroup: each life of a container has its own. */
  const incarnations = new Map<number, Incarnation>()
  /** How many of them bear a name. */
  const names = new Map<string, number>()
  let carrier: { readonly receiver: string; seenMs: number } | undefined

  function note(container: Container) {
    const known = incarnations.get(container.top.id)
    if (known?.container === container) return
    if (known === undefined) {
      // 0 for the first of its name, 1 for each that follows: the table adds them up.
      const restarts = names.has(container.containerId) ? 1 : 0
      incarnations.set(container.top.id, { container, restarts, told: false })
    } else {
      drop(known.container.containerId)
      known.container = container
    }
    names.set(container.containerId, (names.get(container.containerId) ?? 0) + 1)
  }

  function drop(name: string) {
    const bearers = (names.get(name) ?? 0) - 1
    if (bearers > 0) names.set(name, bearers)
    else names.delete(name)
  }

  function forget(nowMs: number) {
    for (const [id, { container }] of incarnations) {
      const { endedMs } = container.top
      if (endedMs === undefined || nowMs - endedMs <= REMEMBERED_MS) continue
      incarnations.delete(id)
      drop(container.containerId)
    }
  }

  function carries({ receiver, points, collectedMs }: Batch): boolean {
    if (carrier?.receiver === receiver) {
      carrier.seenMs = collectedMs
      return true
    }
    if (carrier !== undefined && collectedMs - carrier.seenMs <= SILENT_MS) return false
    if (!points.some((point) => point.subject.kind !== 'node')) return false
    carrier = { receiver, seenMs: collectedMs }
    return true
  }

  return {
    note,
    points(batch, living, identity) {
      if (!carries(batch)) return []
      const newest = new Map<string, Container>()
      for (const container of living) {
        note(container)
        const other = newest.get(container.containerId)
        if (other === undefined || other.top.bornMs <= container.top.bornMs)
          newest.set(container.containerId, container)
      }

      const points: Point[] = []
      const add = (container: Container, name: keyof typeof metrics, value: number, attributes: Attributes) => {
        const resource = containerResource(container, identity)
        points.push({ subject: container.top, name, metric: metrics[name], value, attributes, resource })
      }
      for (const container of newest.values()) {
        const attributes = infoAttributes(container)
        if (attributes !== undefined) add(container, 'container.info', 1, attributes)
      }
      for (const incarnation of incarnations.values()) {
        const { container, restarts } = incarnation
        // What ended need be told only once: a counter stays where it was.
        if (container.top.endedMs !== undefined && incarnation.told) continue
        add(container, 'container.restarts', restarts, NO_ATTRIBUTES)
        incarnation.told = true
      }
      forget(batch.collectedMs)
      return points
    },
  }
}

const infos = new WeakMap<Container, Attributes>()

function infoAttributes(container: Container): Attributes | undefined {
  const { image, systemd } = container
  if (image === '' && systemd === undefined) return undefined
  let attributes = infos.get(container)
  if (attributes === undefined) {
    // All three, even when empty: so has the peer, and to Prometheus an empty label is an absent one.
    attributes = Object.freeze({
      image,
      systemd_triggered_by: systemd?.triggeredBy ?? '',
      systemd_type: systemd?.type ?? '',
    })
    infos.set(container, attributes)
  }
  return attributes
}
