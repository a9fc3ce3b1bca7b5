// Who answers behind a ClusterIP, by IPVS as kube-proxy sets it up, and by nftables: compared with IPVS' own counts.
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { root } from '../../../native/paths.ts'
import { startReceiver } from '../../kernel/tcp.ts'
import { stop } from '../../kernel/waiting.ts'
import { defineCheck } from '../check.ts'

const IPVS = '10.98.0.1'
const DNAT = '10.97.0.1'
const BACK_ENDS = ['10.8.0.2', '10.8.0.3']
const COUNT = 100

/** The client has the address of the IPVS service itself and dials from it, so the way back needs a route. */
const SET_UP = `
ip netns add server
ip link add outside type veth peer name inside netns server
ip addr add 10.8.0.1/24 dev outside
ip addr add ${IPVS}/32 dev lo
ip link set outside up
ip -n server addr add 10.8.0.2/24 dev inside
ip -n server addr add 10.8.0.3/24 dev inside
ip -n server link set inside up
ip -n server link set lo up
ip -n server route add default via 10.8.0.1
ip route add 10.97.0.0/16 via 10.8.0.2
ipvsadm -A -t ${IPVS}:80 -s rr
ipvsadm -a -t ${IPVS}:80 -r 10.8.0.2:8080 -m
ipvsadm -a -t ${IPVS}:80 -r 10.8.0.3:8080 -m
nft add table ip cluster
nft add chain ip cluster output { type nat hook output priority -100 ; }
nft add rule ip cluster output ip daddr ${DNAT} tcp dport 80 dnat to 10.8.0.3:8080
nft add rule ip cluster output ct state new accept`

type Answered = Readonly<Record<string, number>>
type Facts = {
  readonly established: readonly number[]
  readonly ipvs: Answered
  readonly dnat: Answered
  /** As `ipvsadm -L --stats` counts them. */
  readonly kernel: Answered
}

export const nat = defineCheck<Facts>({
  name: 'nat',

  async inside() {
    const ends: (() => unknown)[] = []
    // Without a shell: busybox' would take its own `ip`.
    for (const command of SET_UP.trim().split('\n')) {
      const [program = '', ...words] = command.split(' ')
      execFileSync(program, words)
    }
    writeFileSync('/proc/sys/net/ipv4/vs/conntrack', '1')
    const tool = join(root, 'tools/connections')
    const listener = spawn('nsenter', ['--net=/run/netns/server', tool, 'listen', '0.0.0.0', '8080'])
    await line(listener)
    const receiver = await startReceiver({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext)
    await receiver.collect()
    const established: number[] = []
    for (const address of [IPVS, DNAT]) {
      for (const how of ['fin', 'rst']) {
        const [made = 0] = await line(spawn(tool, ['storm', address, '80', String(COUNT), '200', how]))
        established.push(made)
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
    const now = await receiver.collect()
    const stats = execFileSync('ipvsadm', ['-L', '-n', '--stats', '-t', `${IPVS}:80`], { encoding: 'utf8' })
    const kernel = Object.fromEntries(
      [...stats.matchAll(/-> (\S+)\s+(\d+)/g)].map(([, to = '', count]) => [to, Number(count)]),
    )
    await stop(listener)
    for (const end of ends) await end()
    return {
      established,
      ipvs: now.answered('successful_connects', `${IPVS}:80`),
      dnat: now.answered('successful_connects', `${DNAT}:80`),
      kernel,
    }
  },

  judge: {
    'behind an IPVS service each back end has the connections that IPVS gave it, by FIN and by RST': (facts) => {
      assert.deepEqual(facts.established, [COUNT, COUNT, COUNT, COUNT])
      assert.deepEqual(facts.ipvs, facts.kernel)
      assert.deepEqual(
        Object.keys(facts.kernel).sort(),
        BACK_ENDS.map((address) => `${address}:8080`),
      )
    },
    'behind a DNAT rule of nftables all have the one back end': ({ dnat }) => {
      assert.deepEqual(dnat, { '10.8.0.3:8080': 2 * COUNT })
    },
  },
})

async function line(child: ChildProcess): Promise<number[]> {
  if (!child.stdout) throw new Error('it was not started')
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  return String(text).trim().split(/\s+/).map(Number)
}
