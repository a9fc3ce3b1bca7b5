// Which machine this is, in the words that the peer's labels and OpenTelemetry's host.* use.
import { readFileSync } from 'node:fs'
import { arch, hostname, release } from 'node:os'
import type { HostIdentity } from './host.ts'

/** Node's names → those of host.arch (semantic conventions). */
const ARCH: Readonly<Record<string, string>> = { x64: 'amd64', ia32: 'x86', arm: 'arm32' }

/**
 * `rootPath` is where the host's root is mounted, '' for ours. What cannot be read is '': DMI is for root only,
 * and many virtual machines have none.
 */
export function readIdentity(rootPath: string): HostIdentity {
  const systemUuid = firstOf([`${rootPath}/sys/class/dmi/id/product_uuid`, '/sys/class/dmi/id/product_uuid'])
  const machineId = firstOf([`${rootPath}/etc/machine-id`, `${rootPath}/var/lib/dbus/machine-id`])
  return {
    machineId: (machineId || systemUuid).replaceAll('-', ''),
    systemUuid,
    // In a container uname names the container, so the host's own file comes first there.
    hostname: (rootPath === '' ? '' : firstOf([`${rootPath}/etc/hostname`])) || hostname(),
    kernelVersion: release(),
    arch: ARCH[arch()] ?? arch(),
  }
}

/** When the machine was started, in milliseconds since the epoch (btime of /proc/stat). */
export function bootMs(proc: string): number {
  const btime = /^btime (\d+)$/m.exec(firstOf([`${proc}/stat`, '/proc/stat']))?.[1]
  return Number(btime ?? 0) * 1000
}

function firstOf(paths: readonly string[]): string {
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
