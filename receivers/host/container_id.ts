// What a runtime says of a container → the peer's `container_id` and `app_id`.
import type { Placed } from './container_path.ts'

/** A container as its runtime describes it. */
export type RuntimeInfo = {
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  /** Only what ids are made of. */
  readonly env: Readonly<Record<string, string>>
}

/** Units that nobody asks about: they would be most of the series of an idle machine. The peer's list. */
const SYSTEM_UNITS =
  /^(?:systemd-|dbus|getty|system-serial|system-getty|serial-getty|snapd|packagekit|unattended-upgrades|multipathd|qemu-guest-agent|irqbalance|networkd-dispatcher|rpcbind|crio-conmon-)/

/** A week: how far a CronJob's schedule may lie from now for its eight digits to be minutes since the epoch. */
const CRON_WINDOW_MIN = 7 * 24 * 60

function kubernetesId(labels: Readonly<Record<string, string>>, nowMs: number): string | undefined {
  const namespace = labels['io.kubernetes.pod.namespace'] ?? ''
  const pod = labels['io.kubernetes.pod.name'] ?? ''
  const name = labels['io.kubernetes.container.name'] ?? ''
  if (name === '' || name === 'POD') return undefined // the pause container
  const cron = /^([a-z0-9-]+)-([0-9]{8})-[bcdfghjklmnpqrstvwxz2456789]{5}$/.exec(pod)
  if (cron && Math.abs(Number(cron[2]) - nowMs / 60_000) < CRON_WINDOW_MIN) {
    return `/k8s-cronjob/${namespace}/${cron[1]}/${name}`
  }
  return `/k8s/${namespace}/${pod}/${name}`
}

function swarmId(labels: Readonly<Record<string, string>>): string | undefined {
  const [, slot] = (labels['com.docker.swarm.task.name'] ?? '').split('.')
  if (slot === undefined || (labels['com.docker.swarm.task.name'] ?? '').split('.').length < 3) return undefined
  const stack = labels['com.docker.stack.namespace'] ?? ''
  const service = labels['com.docker.swarm.service.name'] ?? ''
  const short = stack !== '' && service.startsWith(`${stack}_`) ? service.slice(stack.length + 1) : service
  return `/swarm/${stack || '_'}/${short}/${slot}`
}

function nomadId(env: Readonly<Record<string, string>>): string | undefined {
  const parts = ['NAMESPACE', 'JOB_NAME', 'GROUP_NAME', 'ALLOC_ID', 'TASK_NAME'].map((key) => env[`NOMAD_${key}`] ?? '')
  return parts.every((part) => part !== '') ? `/nomad/${parts.join('/')}` : undefined
}

/**
 * Undefined for what the peer leaves out: pause containers and the system's own units.
 * Without an answer of the runtime the path alone gives `/<runtime>/<first 12 digits of the id>`.
 */
export function containerId(placed: Placed, info: RuntimeInfo | undefined, nowMs: number): string | undefined {
  switch (placed.runtime) {
    case 'systemd':
      if (SYSTEM_UNITS.test(placed.id)) return undefined
      return `/${placed.top.split('/')[1] ?? ''}/${placed.id}`
    case 'talos':
    case 'lxc':
    case 'nspawn':
      return `/${placed.runtime}/${placed.id}`
    default:
      if (info?.labels['io.kubernetes.pod.name']) return kubernetesId(info.labels, nowMs)
      if (info !== undefined && info.name !== '') {
        return swarmId(info.labels) ?? nomadId(info.env) ?? `/${placed.runtime}/${info.name}`
      }
      return `/${placed.runtime}/${placed.id.slice(0, 12)}`
  }
}

/** The workload a Kubernetes container belongs to; '' when that is the container itself. */
export function appId(id: string): string {
  const [, kind, namespace, pod = ''] = id.split('/')
  if (kind !== 'k8s') return ''
  const workload =
    /^([a-z0-9-]+)-[0-9a-f]{1,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$/.exec(pod) ??
    /^([a-z0-9-]+)-[bcdfghjklmnpqrstvwxz2456789]{5}$/.exec(pod) ??
    /^([a-z0-9-]+)-\d+$/.exec(pod)
  return workload ? `/k8s/${namespace}/${workload[1]}` : ''
}
