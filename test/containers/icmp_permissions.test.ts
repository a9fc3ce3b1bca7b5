// An agent that lacks a capability says which, with a remedy, and measures what it still can.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Agent, startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'
import { dial, ECHO_SERVER, inside, latency, makeBridge, measured, pidOf, SLEEPING, startIn } from './talking.ts'

const needs = requires('root', 'addon', 'docker', 'bpf', 'netfilter')
const receivers = {
  icmp_latency: { probe_interval: '200ms', max_probes_per_second_and_address: 50 },
  tcp_connections: { collection_interval: '1s' },
}

/** Root without these capabilities, from the start and for good (capabilities(7), bounding set). */
function without(...capabilities: string[]): string[] {
  const dropped = capabilities.map((name) => `-${name}`).join(',')
  return ['setpriv', `--bounding-set=${dropped}`, `--inh-caps=${dropped}`]
}

const warnings = (agent: Agent, what: RegExp) => agent.said(/\twarn\t/).filter((line) => what.test(line))

/** Raw sockets and unprivileged ICMP sockets of a namespace (proc_pid_net(5)): how many of each. */
function icmpSockets(pid: string): { raw: number; ping: number } {
  const count = (table: string) => readFileSync(`/proc/${pid}/net/${table}`, 'latin1').trim().split('\n').length - 1
  return { raw: count('raw'), ping: count('icmp') }
}

test(
  "without CAP_SYS_ADMIN the host's own network is measured from, and the log says what is missing",
  needs,
  async (t) => {
    const docker = await startDocker(t, 'icmp')
    const bridge = await makeBridge(t, docker, 'bridge', '10.217.6.0/24')
    atEnd(t, () => docker.close())
    await startIn(docker, bridge, 'server', ECHO_SERVER, '10.217.6.10')
    const apart = await startIn(docker, bridge, 'apart', SLEEPING, '10.217.6.20')
    const name = docker.name('hosts')
    const id = await docker.docker('run', '--detach', '--network', 'host', '--name', name, docker.image, ...SLEEPING)
    atEnd(t, () => docker.docker('rm', '--force', id))
    const hosts = { id, name }

    const agent = await startAgent(t, { receivers, under: without('sys_admin') })
    await dial(docker, hosts, '10.217.6.10', 8080)
    await dial(docker, apart, '10.217.6.10', 8080)
    const seconds = await measured(agent, hosts, '10.217.6.10')
    assert.ok(seconds > 0 && seconds < 0.05, `${seconds} s`)
    const refused = /cannot measure from some network namespaces.*CAP_SYS_ADMIN/
    await until('the log says it of the other one', () => warnings(agent, refused).length > 0)
    t.diagnostic(warnings(agent, /CAP_SYS_ADMIN/).join('\n'))
    for (const line of warnings(agent, /CAP_SYS_ADMIN/)) assert.match(line, /fix/)
    assert.equal(await latency(agent, apart, '10.217.6.10'), undefined, 'its namespace may not be entered')
    assert.deepEqual(icmpSockets(await pidOf(docker, apart)), { raw: 0, ping: 0 })
  },
)

test('without CAP_NET_RAW containers that allow unprivileged ICMP are measured from', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const bridge = await makeBridge(t, docker, 'bridge', '10.217.7.0/24')
  atEnd(t, () => docker.close())
  await startIn(docker, bridge, 'server', ECHO_SERVER, '10.217.7.10')
  const open = await startIn(docker, bridge, 'open', SLEEPING, '10.217.7.20')
  const closed = await startIn(docker, bridge, 'closed', SLEEPING, '10.217.7.21')
  const allow = async (container: typeof open, groups: string) =>
    inside(await pidOf(docker, container), 'sysctl', '-q', '-w', `net.ipv4.ping_group_range=${groups}`)
  await allow(open, '0 2147483647')
  await allow(closed, '1 0')

  const agent = await startAgent(t, { receivers, under: without('net_raw') })
  await dial(docker, open, '10.217.7.10', 8080)
  await dial(docker, closed, '10.217.7.10', 8080)
  const seconds = await measured(agent, open, '10.217.7.10')
  assert.ok(seconds > 0 && seconds < 0.05, `${seconds} s`)
  assert.deepEqual(icmpSockets(await pidOf(docker, open)), { raw: 0, ping: 1 })
  const lost = await latency(agent, open, '10.217.7.10', 'container_net_probes_lost_total')
  assert.equal(lost, 0)

  await until('the log says it', () => warnings(agent, /ping_group_range/).length > 0)
  assert.match(agent.said(/CAP_NET_RAW/).join('\n'), /fix/)
  t.diagnostic(agent.said(/CAP_NET_RAW|ping_group_range/).join('\n'))
  assert.equal(await latency(agent, closed, '10.217.7.10'), undefined)
  assert.equal(warnings(agent, /cannot measure from some network namespaces/).length, 1, 'once')
})
