// Where runtimes keep what containers write to stdout and stderr: told by the runtime, read by who wants the lines.
import type { Cgroup } from './host.ts'

export type RuntimeLog = {
  /** The runtime's id of the container. */
  readonly id: string
  /** The driver in Docker's words: `json-file`, `local`, `journald`, others. `cri`: a text file of the CRI. */
  readonly driver: string
  /** The file as the runtime's host sees it; '' where the driver writes none. */
  readonly path: string
  /** When the container was made, in milliseconds since the epoch; NaN where nobody says. */
  readonly createdMs: number
}

export interface RuntimeLogs {
  /**
   * From now on runtimes are asked for the log of each container that runs or is made; the listener hears of each,
   * again when the container is started again. Returns what ends that.
   */
  follow(listener: (log: RuntimeLog) => void): () => void
  /** The youngest cgroup of the container with this id, living or ended not long ago. */
  cgroupOf(id: string): Cgroup | undefined
  /** By its path in the canonical tree, living or ended not long ago. */
  cgroupAt(path: string): Cgroup | undefined
  /**
   * A cgroup that ended while nobody looked, as somebody has written it down before: with its container's name it is
   * remembered like one that has just ended. Undefined while the container lives.
   */
  recall(cgroup: Pick<Cgroup, 'id' | 'path' | 'bornMs'>): Cgroup | undefined
  /** Labels (of Kubernetes also `annotation.…`) that the runtime tells of the container; empty when it tells none. */
  labelsOf(cgroup: Cgroup): Readonly<Record<string, string>>
}
