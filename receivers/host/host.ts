// One knowledge of the machine, shared by all receivers and processors: who lives on it, and under which identity.
// Everything here is kept up to date by watching; asking costs a map lookup.

import type { Kept } from './kept.ts'
import type { Namespaces } from './namespaces.ts'
import type { Peers } from './peers.ts'
import type { RuntimeLogs } from './runtime_logs.ts'

/** A control group of the canonical tree: the v2 tree where one is mounted, else a v1 hierarchy. */
export type Cgroup = {
  readonly kind: 'cgroup'
  /** Inode of its directory in the canonical tree, which is also the id that BPF programs see. Never reused. */
  readonly id: number
  /** Path inside the canonical tree, `/docker/<id>`; the root is `/`. */
  readonly path: string
  /** When the directory was made, in milliseconds since the epoch. */
  readonly bornMs: number
  /** When we saw it go; undefined while it lives. It is remembered for a while, because its last numbers come later. */
  endedMs: number | undefined
}

/** The machine itself. */
export type Node = { readonly kind: 'node'; readonly bornMs: number; readonly endedMs: undefined }

/** What the sockets of one control group have to do with one address. Several may feed one series. */
export type Flow = {
  readonly kind: 'flow'
  /** Names it for ever. */
  readonly key: string
  readonly cgroup: Cgroup
  readonly bornMs: number
  /** When its control group ended, or when it was forgotten because nothing had happened for long. */
  readonly endedMs: number | undefined
  /** Who answered after address translation, `1.2.3.4:80`; undefined where nobody knows, and for accepted connections. */
  readonly actualDestination: string | undefined
}

export type Runtime = 'docker' | 'containerd' | 'cri-o' | 'podman' | 'systemd' | 'lxc' | 'nspawn' | 'talos' | 'other'

/** A container: the subtree of its top cgroup, and what its runtime says of it. */
export type Container = {
  /** The peer's identity and our Prometheus label: `/docker/<name>`, `/system.slice/<unit>`, `/k8s/<ns>/<pod>/<name>`. */
  readonly containerId: string
  /** The workload behind it (`/k8s/<ns>/<deployment>`), or '' when that is the container itself. */
  readonly appId: string
  readonly runtime: Runtime
  readonly top: Cgroup
  /** OpenTelemetry resource attributes: container.id, container.name, container.runtime.name, k8s.*, service.name … */
  readonly resource: Readonly<Record<string, string>>
  readonly image: string
  /** Set for systemd units where systemd told us. */
  readonly systemd?: { readonly type: string; readonly triggeredBy: string }
}

export type HostIdentity = {
  /** /etc/machine-id without dashes, else DMI; '' when neither can be read. */
  readonly machineId: string
  /** DMI product_uuid as it is; '' when it cannot be read. */
  readonly systemUuid: string
  readonly hostname: string
  readonly kernelVersion: string
  readonly arch: string
}

export type CgroupLayout = {
  /** `v2`: one unified tree; `hybrid`: a v2 tree beside v1 controllers; `v1`: no v2 tree at all. */
  readonly mode: 'v1' | 'v2' | 'hybrid'
  /** Mount point of the canonical tree, `/sys/fs/cgroup/unified`. */
  readonly root: string
  /** v1 controller (cpu, cpuacct, memory, blkio, pids …) → mount point of its hierarchy. Empty for v2. */
  readonly v1: ReadonlyMap<string, string>
  /** The v1 controller whose hierarchy is canonical when mode is `v1`; '' otherwise. */
  readonly canonicalController: string
}

/** What became of the question "whose is this cgroup?". */
export type Attribution =
  | { readonly state: 'container'; readonly container: Container }
  /** The runtime has been asked and has not answered yet. Ask again at the next collection. */
  | { readonly state: 'pending' }
  /** It belongs to no container: the root, a session, a slice, a runtime's own helper. */
  | { readonly state: 'none' }

export interface Host {
  readonly identity: HostIdentity
  readonly layout: CgroupLayout
  readonly node: Node
  /** Who talks to whom, noted by receivers that see connections. */
  readonly peers: Peers
  /** For a receiver that stops because the configuration is read again. Absent where nothing lives on. */
  readonly kept?: Kept
  /** Living cgroups. */
  cgroups(): Iterable<Cgroup>
  /** By id, living or ended not long ago. */
  cgroup(id: number): Cgroup | undefined
  /** By path in the canonical tree, living ones only. */
  cgroupAt(path: string): Cgroup | undefined
  /** Processes that are in a cgroup now, not in those below it. */
  members?(cgroup: Cgroup): readonly number[]
  /** Where proc shows the host's processes. */
  readonly proc?: string
  /** Where runtimes keep the logs of containers. */
  readonly logs?: RuntimeLogs
  /** The cgroup a process is in now, by /proc; undefined when the process is gone. */
  cgroupOf(pid: number): Cgroup | undefined
  /** Living containers, with their top cgroup. Those whose runtime has not answered yet are left out. */
  containers(): Iterable<Container>
  /** Whose subtree a cgroup lies in. */
  attribution(cgroup: Cgroup): Attribution
  /**
   * Makes the knowledge current: reads what the watches have said, waits (at most `deadlineMs`) for runtime
   * questions under way. Called once before each collection.
   */
  refresh(deadlineMs: number): Promise<void>
  /** Called when a process was seen to enter a cgroup (a write to cgroup.procs, or a new cgroup's first members). */
  onMembers(listener: (cgroup: Cgroup, pids: readonly number[]) => void): () => void
  /** Network namespaces, and the way into them. */
  readonly namespaces: Namespaces
  /**
   * By id of the control group: processes that the kernel killed for memory since we came, also where the control group
   * is gone. Absent where BPF does not tell.
   */
  oomKills?(): ReadonlyMap<number, number>
  /** Ports of the host that a runtime leads to living containers: `0.0.0.0` and `::` are all addresses of a family. */
  published?(): Iterable<{ readonly cgroup: Cgroup; readonly address: string; readonly port: number }>
  /** A file's text, or undefined when it is not there (any more). Other errors are thrown. */
  read(path: string): string | undefined
  /** What was missed or cut since the start, by what. For own telemetry. */
  counts?(): Readonly<Record<string, number>>
  stop(): Promise<void>
}
