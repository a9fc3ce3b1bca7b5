// New connections as `conntrack -E` tells of them in a namespace, counted by who answers: the truth about translation.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { until } from '../until.ts'
import type { Namespace } from './network.ts'

export type ConntrackEvents = {
  /** Connections by who answers, `10.77.2.2:8080`, as soon as there are so many. Ends with that. */
  counted(count: number): Promise<Record<string, number>>
}

const NETLINK_NETFILTER = 12

/** From when this resolves, all new TCP connections that are translated at their far end. */
export async function watchConntrack(namespace: Namespace): Promise<ConntrackEvents> {
  const isHeard = () =>
    namespace
      .run('cat', '/proc/net/netlink')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .some(([, protocol, , groups]) => Number(protocol) === NETLINK_NETFILTER && groups !== '00000000')
  assert.ok(!isHeard(), 'somebody else listens there already')
  const child = namespace.start('conntrack', '-E', '-e', 'NEW', '-p', 'tcp', '--dst-nat', '-b', String(64 << 20))
  const sums: Record<string, number> = {}
  let total = 0
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, address, port] = /\bsrc=.*\bsrc=(\S+) .*\bsport=(\d+)/.exec(line) ?? []
      const answers = `${address}:${port}`
      sums[answers] = (sums[answers] ?? 0) + 1
      total++
    })
  }
  await until('conntrack listens', isHeard)
  return {
    async counted(count) {
      await until(`conntrack has told of ${count}`, () => total >= count, { deadlineMs: 60_000 }).catch(() => {})
      const closed = once(child, 'close')
      child.kill('SIGINT')
      await closed
      return sums
    },
  }
}
