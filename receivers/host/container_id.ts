// What a runtime says of a container → the peer's `container_id` and `app_id`, byte for byte.
import type { Placed } from './container_path.ts'
import type { Runtime } from './host.ts'

/** A container as its runtime describes it. */
export type RuntimeInfo = {
  readonly runtime: Runtime
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  /** NOMAD_* only: nothing else of it makes a name, and the rest may be secret. */
  readonly env: Readonly<Record<string, string>>
}

/** What systemd says of a unit. */
export type UnitInfo = { readonly type: string; readonly triggeredBy: string }

/** Units that would be most of the series of an idle machine. The peer's list. */
const SYSTEM_UNITS =
  /^(?:systemd-|dbus|getty|system-serial|system-getty|serial-getty|snapd|packagekit|unattended-upgrades|multipathd|qemu-guest-agent|irqbalance|networkd-dispatcher|rpcbind)/

/** A week: how far a CronJob's schedule may lie from now for its eight digits to be minutes since the epoch. */
const CRON_WINDOW_MIN = 7 * 24 * 60

/** Letters and digits of the names that Kubernetes makes up (apimachinery, util/rand): no vowels, no 0, 1 or 3. */
const RANDOM = '[bcdfghjklmnpqrstvwxz2456789]{5}'
const CRON_POD = new RegExp(`^([a-z0-9-]+)-([0-9]{8})-${RANDOM}$`)
const WORKLOAD_PODS = [
  new RegExp(`^([a-z0-9-]+)-[0-9a-f]{1,10}-${RANDOM}$`), // a Deployment's
  new RegExp(`^([a-z0-9-]+)-${RANDOM}$`), // a DaemonSet's or a Job's
  /^([a-z0-9-]+)-\d+$/, // a StatefulSet's
]

/** True for units that are the machine's own housekeeping: they run for moments, or are on every machine. */
export function isSystemUnit(id: string, info: UnitInfo | undefined): boolean {
  if (SYSTEM_UNITS.test(id.slice(id.lastIndexOf('/') + 1))) return true
  return info !== undefined && (/^(?:oneshot|dbus)$/.test(info.type) || info.triggeredBy.endsWith('.timer'))
}

/**
 * Undefined for a pod's pause container. Without an answer of the runtime the path alone gives
 * `/<runtime>/<first 12 digits of the id>`.
 */
export function containerId(placed: Placed, info: RuntimeInfo | undefined, nowMs: number): string | undefined {
  if (placed.ask === 'systemd') return placed.id
  if (placed.ask === 'nobody') return placed.runtime === 'other' ? `/${placed.id}` : `/${placed.runtime}/${placed.id}`
  if (info?.labels['io.kubernetes.pod.name']) return kubernetesId(info.labels, nowMs)
  if (info === undefined || info.name === '') return `/${placed.runtime}/${placed.id.slice(0, 12)}`
  return swarmId(info.labels) ?? nomadId(info.env) ?? `/${info.runtime}/${info.name}`
}

/** The workload a Kubernetes container belongs to; '' when that is the container itself. */
export function appId(containerId: string): string {
  const [, kind, namespace, owner = '', container] = containerId.split('/')
  if (container === undefined) return ''
  if (kind === 'k8s-cronjob') return `/k8s-cronjob/${namespace}/${owner}`
  if (kind !== 'k8s') return ''
  for (const form of WORKLOAD_PODS) {
    const workload = form.exec(owner)?.[1]
    if (workload !== undefined) return `/k8s/${namespace}/${workload}`
  }
  return ''
}

function kubernetesId(labels: RuntimeInfo['labels'], nowMs: number): string | undefined {
  const namespace = labels['io.kubernetes.pod.namespace'] ?? ''
  const pod = labels['io.kubernetes.pod.name'] ?? ''
  const name = labels['io.kubernetes.container.name'] ?? ''
  if (name === '' || name === 'POD') return undefined // it only holds the pod's namespaces
  const [, job, scheduledMin] = CRON_POD.exec(pod) ?? []
  if (job !== undefined && Math.abs(Number(scheduledMin) - nowMs / 60_000) < CRON_WINDOW_MIN) {
    return `/k8s-cronjob/${namespace}/${job}/${name}`
  }
  return `/k8s/${namespace}/${pod}/${name}`
}

function swarmId(labels: RuntimeInfo['labels']): string | undefined {
  const task = (labels['com.docker.swarm.task.name'] ?? '').split('.')
  if (task.length < 3) return undefined
  const stack = labels['com.docker.stack.namespace'] ?? ''
  const service = labels['com.docker.swarm.service.name'] ?? ''
  const short = stack !== '' && service.startsWith(`${stack}_`) ? service.slice(stack.length + 1) : service
  return `/swarm/${stack || '_'}/${short}/${task[1]}`
}

function nomadId(env: RuntimeInfo['env']): string | undefined {
  const parts = ['NAMESPACE', 'JOB_NAME', 'GROUP_NAME', 'ALLOC_ID', 'TASK_NAME'].map((key) => env[`NOMAD_${key}`] ?? '')
  return parts.every((part) => part !== '') ? `/nomad/${parts.join('/')}` : undefined
}
