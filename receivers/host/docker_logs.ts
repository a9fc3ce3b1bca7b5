// Where Docker keeps a container's log, by what it tells when it is asked for the container.
import { join } from 'node:path/posix'
import type Docker from 'dockerode'
import type { RuntimeLog } from './runtime_logs.ts'

type Inspected = Pick<Docker.ContainerInspectInfo, 'Id' | 'Created'> & {
  readonly LogPath?: string
  readonly HostConfig?: { readonly LogConfig?: { readonly Type?: string } | undefined }
}

/** `rootDirectory` is the daemon's, `/var/lib/docker`. Before the first start LogPath is empty, of `local` always. */
export function logOf({ Id, Created, LogPath = '', HostConfig }: Inspected, rootDirectory: string): RuntimeLog {
  const driver = HostConfig?.LogConfig?.Type ?? ''
  const directory = join(rootDirectory, 'containers', Id)
  const usual: Readonly<Record<string, string>> = {
    'json-file': join(directory, `${Id}-json.log`),
    local: join(directory, 'local-logs/container.log'),
  }
  const path = driver === 'json-file' && LogPath !== '' ? LogPath : (usual[driver] ?? '')
  return { id: Id, driver, path, createdMs: Date.parse(Created) }
}
