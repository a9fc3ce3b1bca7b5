// The machine as an OpenTelemetry Resource: what every series shares that is sent from it.
import type { HostIdentity } from '../receivers/host/host.ts'
import type { Attributes } from '../receivers/receiver.ts'
import type { Resource } from './processor.ts'

/** Values of `host.arch` in the semantic conventions; others stay as they are. */
const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['x64', 'amd64'],
  ['x86_64', 'amd64'],
  ['aarch64', 'arm64'],
  ['arm', 'arm32'],
  ['armv7l', 'arm32'],
  ['ia32', 'x86'],
  ['i686', 'x86'],
  ['ppc64le', 'ppc64'],
])

const resources = new WeakMap<HostIdentity, Resource>()

/** The same object each time for one identity. Attributes that the machine does not tell are absent. */
export function hostResource(identity: HostIdentity): Resource {
  let resource = resources.get(identity)
  if (resource === undefined) {
    resource = { attributes: attributesOf(identity), labels: Object.freeze({}) }
    resources.set(identity, resource)
  }
  return resource
}

function attributesOf({ hostname, machineId, systemUuid, arch, kernelVersion }: HostIdentity): Attributes {
  const attributes = {
    'host.name': hostname,
    'host.id': machineId || systemUuid,
    'host.arch': ARCHITECTURES.get(arch) ?? arch,
    'os.type': 'linux',
    'os.version': kernelVersion,
  }
  return Object.freeze(Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== '')))
}
