// A host that follows connections through address translation, where one namespace of a test stands for the host's.
import type { TestContext } from 'node:test'
import { endpointText } from '../../receivers/host/address.ts'
import type { Namespaces } from '../../receivers/host/namespaces.ts'
import { type Nat, openNat, type Resolution } from '../../receivers/host/nat.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import type { Dialled } from './dialling.ts'
import { inside, type Namespace, startQuietHost } from './network.ts'

/** With the router's namespace as that of the host. */
export async function followed(
  t: TestContext,
  router: Namespace,
  ...others: Namespace[]
): Promise<{ nat: Nat; log: ReturnType<typeof listeningLog> }> {
  const log = listeningLog()
  const host = await startQuietHost(t, log)
  for (const namespace of [router, ...others]) {
    host.namespaces.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  }
  const namespaces: Namespaces = { ...host.namespaces, initial: router.inode }
  const nat = openNat(namespaces, log)
  atEnd(t, () => nat.stop())
  return { nat, log }
}

export const said = (resolution: Resolution | undefined): string =>
  resolution?.state === 'translated' ? endpointText(resolution.address, resolution.port) : String(resolution?.state)

export const resolved = (nat: Nat, netns: number, dialled: readonly Dialled[]): string[] =>
  nat.resolve(dialled.map(({ tuple }) => ({ ...tuple, netns }))).map(said)
