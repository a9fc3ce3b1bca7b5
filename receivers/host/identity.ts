// Which machine this is, in the words the peer's labels and OpenTelemetry's host.* use.
import { readFileSync } from 'node:fs'
import { arch, hostname, release } from 'node:os'
import type { HostIdentity } from './host.ts'

const firstOf = (paths: readonly string[]): string => {
  for (const path of paths) {
    try {
      const text = readFileSync(path, 'utf8').trim()
      if (text !== '') return text
    } catch {
      // Not there, or not ours to read: the next one.
    }
  }
  return ''
}

/** `rootPath` is where the host's root is mounted. Unreadable parts are ''. */
export function readIdentity(rootPath: string): HostIdentity {
  const dmi = '/sys/class/dmi/id/product_uuid'
  return {
    machineId: firstOf([`${rootPath}/etc/machine-id`, `${rootPath}/var/lib/dbus/machine-id`, dmi]).replaceAll('-', ''),
    systemUuid: firstOf([dmi]),
    hostname: firstOf([`${rootPath}/etc/hostname`]) || hostname(),
    kernelVersion: release(),
    arch: arch() === 'x64' ? 'amd64' : arch(),
  }
}
