// The TCP sockets of a test's namespace, as our code lists them.
import { closeSync, openSync } from 'node:fs'
import { type DiagSocket, dumpSockets } from '../../receivers/host/sockets.ts'
import type { Namespace } from './network.ts'

/** Those in these states, of both families. */
export async function socketsIn({ name }: Namespace, states: readonly number[], info = false): Promise<DiagSocket[]> {
  const fd = openSync(`/run/netns/${name}`, 'r')
  try {
    const questions = ([2, 10] as const).map((family) => ({ family, states, info }))
    const sockets: DiagSocket[] = []
    for await (const some of dumpSockets(fd, questions)) sockets.push(...some)
    return sockets
  } finally {
    closeSync(fd)
  }
}
