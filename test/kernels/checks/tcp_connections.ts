// Connections on the loopback device, those that were there before and those that came after: as many as were made.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { root } from '../../../native/paths.ts'
import { readLayout } from '../../../receivers/host/layout.ts'
import { type Collected, startReceiver } from '../../kernel/tcp.ts'
import { stop } from '../../kernel/waiting.ts'
import type { Said } from '../../receivers/quiet.ts'
import { until } from '../../until.ts'
import { defineCheck } from '../check.ts'

const TO = '127.0.0.1:7000'

type Facts = {
  /** What the programs said of themselves: established, failed, bytes. */
  readonly done: { readonly fin: readonly number[]; readonly rst: readonly number[] }
  /** Of the control group that they were in. */
  readonly seen: Readonly<
    Record<'connects' | 'active' | 'sent' | 'accepts' | 'received' | 'refused' | 'listens', number>
  >
  /** Resets that the kernel sent, since before: OutRsts of /proc/net/snmp. */
  readonly resets: { readonly ours: number; readonly kernel: number }
  /** Open connections of the group that their processes were moved to, the first one being removed: dialled, accepted. */
  readonly heirs: readonly [number, number]
  readonly said: readonly Said[]
}

export const tcpConnections = defineCheck<Facts>({
  name: 'tcp_connections',

  async inside() {
    const ends: (() => unknown)[] = []
    const group = join(readLayout('/sys/fs/cgroup').root, 'talkers')
    mkdirSync(group)
    const run = (...args: (string | number)[]) => {
      const command = [join(root, 'tools/connections'), ...args].join(' ')
      return spawn('sh', ['-c', `echo $$ > ${group}/cgroup.procs && exec ${command}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
    }
    const keeping = [run('listen', '127.0.0.1', 7000)]
    await line(keeping[0])
    keeping.push(run('hold', '127.0.0.1', 7000, 20, 100))
    await line(keeping[1])
    const receiver = await startReceiver({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext)
    await receiver.collect()
    const sentBefore = resetsSent()
    const fin = await line(run('storm', '127.0.0.1', 7000, 300, 0, 'fin', 100))
    const rst = await line(run('storm', '127.0.0.1', 7000, 50, 0, 'rst'))
    const kernel = resetsSent() - sentBefore
    await line(run('wait', '127.0.0.1', 7999, 3))
    const to = { destination: TO }
    const on = { listen_addr: TO }
    const now = await receiver.collectUntil((seen) => seen.sum('inbound.active_connections', on) === 20)
    const seen = {
      connects: now.sum('successful_connects', to),
      active: now.sum('active_connections', to),
      sent: now.sum('bytes_sent', to),
      accepts: now.sum('inbound.accepts', on),
      received: now.sum('inbound.bytes_received', on),
      refused: now.sum('connect.failures', { destination: '127.0.0.1:7999', 'error.type': 'refused' }),
      listens: now.sum('listen.info', on),
    }
    const ours = now.sum('resets', { ...to, direction: 'sent' })
    const heirs = `${group}-heirs`
    mkdirSync(heirs)
    for (const { pid } of keeping) writeFileSync(`${heirs}/cgroup.procs`, String(pid))
    await until('its last process is reaped', () => rmdirSync(group) ?? true)
    const isHanded = (seen: Collected) => seen.sum('inbound.active_connections', on, 'talkers-heirs') === 20
    const handed = await receiver.collectUntil(isHanded)
    const open = ['active_connections', 'inbound.active_connections']
    const [dialled = 0, accepted = 0] = open.map((metric) => handed.sum(metric, {}, 'talkers-heirs'))
    for (const child of keeping) await stop(child)
    for (const end of ends) await end()
    return {
      done: { fin, rst },
      seen,
      resets: { ours, kernel },
      heirs: [dialled, accepted],
      said: receiver.log.said,
    }
  },

  judge: {
    'connects, bytes, failures and what is open are what was done': ({ done, seen, said }, { line }) => {
      assert.deepEqual(
        [done.fin.slice(0, 3), done.rst.slice(0, 2)],
        [
          [300, 0, 30_000],
          [50, 0],
        ],
      )
      // Without passes (before 5.11) sock_diag lists what is open; what was there before is counted when it ends.
      const before = line === '5.10' ? 0 : 20
      assert.deepEqual(
        seen,
        {
          connects: 350 + before,
          active: 20,
          sent: 30_000 + before * 100,
          accepts: 350 + before,
          received: 30_000 + before * 100,
          refused: 3,
          listens: 1,
        },
        JSON.stringify(said),
      )
    },
    'what a control group has handed on before it ended goes on': ({ heirs }, { line }) =>
      // Without passes nobody knows who holds a socket.
      assert.deepEqual(heirs, line === '5.10' ? [0, 0] : [20, 20]),
    'resets that were sent are as many as the kernel sent': ({ resets }) => assert.equal(resets.ours, resets.kernel),
  },
})

async function line(child: ChildProcess | undefined): Promise<number[]> {
  if (!child?.stdout) throw new Error('it was not started')
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  return String(text).trim().split(/\s+/).map(Number)
}

const resetsSent = () => {
  const [, values = ''] = [...readFileSync('/proc/net/snmp', 'latin1').matchAll(/^Tcp: (.*)$/gm)].map(
    ([, text]) => text,
  )
  return Number(values.split(' ')[13])
}
