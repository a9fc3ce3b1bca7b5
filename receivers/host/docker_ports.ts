// Ports of the host that Docker leads to containers, out of its list: with docker-proxy and without (`userland-proxy`).
import type Docker from 'dockerode'

/** One that is published. */
export type PublishedPort = {
  /** The container's id. */
  readonly id: string
  /** Of the host; `0.0.0.0` and `::` stand for all of a family. */
  readonly address: string
  readonly port: number
}

export type DockerPorts = {
  listed(containers: readonly Docker.ContainerInfo[]): void
  /** A container was started: its ports are in the next list. */
  outdated(): void
  /** Asks for the list where somebody wants to know and it is outdated. */
  settled(): Promise<void>
  all(): readonly PublishedPort[]
}

/** `list` throws when Docker does not answer: then the ports that are known stay, and it is asked again. */
export function createDockerPorts(list: () => Promise<readonly Docker.ContainerInfo[]>): DockerPorts {
  let ports: PublishedPort[] = []
  let isOutdated = false
  let isWanted = false
  let asking: Promise<void> | undefined

  async function ask(): Promise<void> {
    // One that is started while the list is made is asked about again.
    isOutdated = false
    try {
      ports = portsOf(await list())
    } catch {
      isOutdated = true
    } finally {
      asking = undefined
    }
  }

  return {
    listed(containers) {
      ports = portsOf(containers)
      isOutdated = false
    },
    outdated() {
      isOutdated = true
    },
    async settled() {
      if (isWanted && isOutdated) asking ??= ask()
      await asking
    },
    all() {
      isWanted = true
      return ports
    },
  }
}

/** Podman, which speaks Docker's language, leaves it empty. */
const ALL_IPV4 = '0.0.0.0'

const portsOf = (containers: readonly Docker.ContainerInfo[]): PublishedPort[] =>
  containers.flatMap(({ Id: id, Ports }) =>
    (Ports ?? []).flatMap(({ IP: address, PublicPort: port, Type }) =>
      Type === 'tcp' && port ? [{ id, address: address || ALL_IPV4, port }] : [],
    ),
  )
