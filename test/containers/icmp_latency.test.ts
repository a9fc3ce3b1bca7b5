// The real agent and real containers: each is measured from its own network, to who really answers, and nobody is
// disturbed by others who do the same.
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { type Agent, startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Container, startDocker } from './docker.ts'
import {
  dial,
  ECHO_SERVER,
  inside,
  latency,
  makeBridge,
  measured,
  pidOf,
  SLEEPING,
  startIn,
  startResponderIn,
} from './talking.ts'

const needs = requires('root', 'addon', 'docker', 'ping', 'netfilter')
const receivers = { icmp_latency: { probe_interval: '200ms', max_probes_per_second_and_address: 50 } }

test('containers on two bridges and behind DNAT are measured to who really answers', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const [first, second] = [
    await makeBridge(t, docker, 'first', '10.217.1.0/24'),
    await makeBridge(t, docker, 'second', '10.217.2.0/24'),
  ]
  atEnd(t, () => docker.close()) // before the bridges go
  await startIn(docker, first, 'server1', ECHO_SERVER, '10.217.1.10')
  await startIn(docker, second, 'server2', ECHO_SERVER, '10.217.2.10')
  const direct = await startIn(docker, first, 'direct', SLEEPING, '10.217.1.20')
  const other = await startIn(docker, second, 'other', SLEEPING, '10.217.2.20')
  const translated = await startIn(docker, second, 'translated', SLEEPING, '10.217.2.21')
  const rule = ['-t', 'nat', '-A', 'OUTPUT', '-d', '10.96.0.10', '-p', 'tcp', '--dport', '80', '-j', 'DNAT']
  inside(await pidOf(docker, translated), 'iptables', ...rule, '--to-destination', '10.217.2.10:8080')

  const agent = await startAgent(t, { receivers })
  await dial(docker, direct, '10.217.1.10', 8080)
  await dial(docker, other, '10.217.2.10', 8080)
  await dial(docker, translated, '10.96.0.10', 80)
  for (const [container, destination] of [
    [direct, '10.217.1.10'],
    [other, '10.217.2.10'],
    [translated, '10.217.2.10'],
  ] as const) {
    const seconds = await measured(agent, container, destination)
    assert.ok(seconds > 0 && seconds < 0.05, `${seconds} s over a bridge`)
  }
  const page = await agent.scrape()
  const told = page.all('container_net_latency_seconds').map(({ labels }) => labels)
  const destinations = (container: Container) =>
    told.filter(({ container_id }) => container_id === `/docker/${container.name}`).map((one) => one.destination_ip)
  assert.deepEqual(destinations(direct), ['10.217.1.10'])
  assert.deepEqual(destinations(translated), ['10.217.2.10'], 'not the address that it dials')
})

test("through the host's DNAT, with tcp_connections beside it, it is the server that is measured", needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const [first, second] = [
    await makeBridge(t, docker, 'first', '10.217.3.0/24'),
    await makeBridge(t, docker, 'second', '10.217.4.0/24'),
  ]
  atEnd(t, () => docker.close()) // before the bridges go
  await startIn(docker, first, 'server', ECHO_SERVER, '10.217.3.10')
  const client = await startIn(docker, second, 'client', SLEEPING, '10.217.4.20')
  // Nobody but our client comes from there, so these rules are nobody else's.
  const service = ['-s', '10.217.4.20', '-d', '10.96.0.11', '-p', 'tcp', '--dport', '80', '-j', 'DNAT']
  for (const rule of [
    ['nat', 'PREROUTING', ...service, '--to-destination', '10.217.3.10:8080'],
    // Docker keeps its networks apart, unless it is told here that they are not.
    ['filter', 'DOCKER-USER', '-s', '10.217.4.20', '-d', '10.217.3.10', '-j', 'ACCEPT'],
    ['filter', 'DOCKER-USER', '-s', '10.217.3.10', '-d', '10.217.4.20', '-j', 'ACCEPT'],
  ]) {
    const [table = '', ...rest] = rule
    execFileSync('iptables', ['-w', '-t', table, '-I', ...rest])
    atEnd(t, () => execFileSync('iptables', ['-w', '-t', table, '-D', ...rest]))
  }

  const agent = await startAgent(t, {
    receivers: { icmp_latency: receivers.icmp_latency, tcp_connections: { collection_interval: '1s' } },
    processors: { container_attribution: {}, nat_resolution: {} },
  })
  await dial(docker, client, '10.96.0.11', 80)
  const startMs = performance.now()
  const seconds = await measured(agent, client, '10.217.3.10')
  t.diagnostic(`measured ${((performance.now() - startMs) / 1000).toFixed(1)} s after it was dialled`)
  assert.ok(seconds > 0 && seconds < 0.05, `${seconds} s over two bridges`)
  const page = await agent.scrape()
  const container_id = `/docker/${client.name}`
  const told = page.all('container_net_latency_seconds').map(({ labels }) => labels)
  assert.deepEqual(
    told.filter((labels) => labels.container_id === container_id).map((labels) => labels.destination_ip),
    ['10.217.3.10'],
    'not the address that it dials',
  )
  const labels = { container_id, destination: '10.96.0.11:80', actual_destination: '10.217.3.10:8080' }
  assert.ok((page.value('container_net_tcp_successful_connects_total', labels) ?? 0) >= 1)
})

test('where ICMP is dropped, TCP tells how far it is; and IPv6 is measured as IPv4 is', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const bridge = await makeBridge(t, docker, 'both', '10.217.5.0/24', 'fd17:5::/64')
  atEnd(t, () => docker.close())
  const server = await startIn(docker, bridge, 'server', ECHO_SERVER, '10.217.5.10', 'fd17:5::10')
  inside(await pidOf(docker, server), 'iptables', '-A', 'INPUT', '-p', 'icmp', '-j', 'DROP')
  const client = await startIn(docker, bridge, 'client', SLEEPING, '10.217.5.20', 'fd17:5::20')
  await dial(docker, client, '10.217.5.10', 8080)
  await dial(docker, client, 'fd17:5::10', 8080)

  // Alone the receiver looks at sockets itself; else it is told by the one that follows connections.
  for (const others of [{}, { tcp_connections: { collection_interval: '1s' } }]) {
    const agent = await startAgent(t, { receivers: { icmp_latency: receivers.icmp_latency, ...others } })
    const container_id = `/docker/${client.name}`
    const overIcmp = await measured(agent, client, 'fd17:5::10')
    assert.ok(overIcmp > 0 && overIcmp < 0.05, `${overIcmp} s by ICMPv6`)

    const overTcp = await measured(agent, client, '10.217.5.10', 'container_net_latency_tcp_seconds')
    // Nothing is sent on this connection after its first line, so that its round-trip time stays what it was then.
    const shown = inside(await pidOf(docker, client), 'ss', '-Htni', 'state', 'established', 'dst', '10.217.5.10')
    const truth = Number(/ rtt:([\d.]+)\//.exec(shown)?.[1]) / 1000
    t.diagnostic(`TCP: ${(overTcp * 1e6).toFixed(0)} µs, ss: ${(truth * 1e6).toFixed(0)} µs`)
    assert.ok(Math.abs(overTcp - truth) < 2e-6, `${overTcp} against ${truth}`)
    const lost = () => latency(agent, client, '10.217.5.10', 'container_net_probes_lost_total')
    await until('probes are lost', async () => ((await lost()) ?? 0) >= 2, { deadlineMs: 20_000, everyMs: 500 })
    const page = await agent.scrape()
    const labels = { container_id, destination_ip: '10.217.5.10' }
    assert.equal(page.value('container_net_latency_seconds', labels), undefined, 'nobody has answered')
    await agent.stop()
  }
})

test('an agent whose main loop is blocked for a second measures nothing false and loses nothing', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const container = await docker.run('client', { command: SLEEPING })
  await startResponderIn(t, docker, container, 30_000)
  await dial(docker, container, '10.9.0.2', 80)
  // On the signal it does nothing else for a second, and says so.
  const block = `process.on('SIGUSR2', () => {
    for (const untilMs = performance.now() + 1000; performance.now() < untilMs; );
    console.error('was blocked')
  })`
  const nodeFlags = ['--import', `data:text/javascript,${encodeURIComponent(block)}`]
  const often = { probe_interval: '100ms', max_probes_per_second_and_address: 50 }
  const agent = await startAgent(t, { receivers: { icmp_latency: often }, nodeFlags })
  await measured(agent, container, '10.9.0.2')
  const look = async () => {
    const page = await agent.scrape()
    const labels = { container_id: `/docker/${container.name}`, destination_ip: '10.9.0.2' }
    const value = (name: string, more = {}) => page.value(`container_net_${name}`, { ...labels, ...more }) ?? 0
    return {
      sent: value('probes_sent_total'),
      lost: value('probes_lost_total'),
      late: value('probes_late_total'),
      measured: value('round_trip_seconds_count'),
      below25: value('round_trip_seconds_bucket', { le: '0.025' }),
      below500: value('round_trip_seconds_bucket', { le: '0.5' }),
    }
  }
  for (let times = 1; times <= 3; times++) {
    process.kill(agent.pid, 'SIGUSR2')
    await until('it was blocked', () => agent.said(/was blocked/).length === times)
  }
  const before = await look()
  const after = await until(
    'it goes on',
    async () => {
      const now = await look()
      return now.measured >= before.measured + 10 ? now : undefined
    },
    { deadlineMs: 40_000, everyMs: 200 },
  )
  t.diagnostic(JSON.stringify(after))
  assert.deepEqual([after.lost, after.late, after.below25], [0, 0, 0])
  // The responder is a process like any other and may have to wait, but not for what the agent was blocked.
  assert.equal(after.below500, after.measured)
  assert.ok(before.measured >= 20, 'it was asked and measured meanwhile')
})

test('equal addresses in two namespaces do not mix, nor do two agents and a ping', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const delays = { near: 2000, far: 20_000 }
  const containers = new Map<string, Container>()
  const responders: ChildProcess[] = []
  for (const [label, delayUs] of Object.entries(delays)) {
    const container = await docker.run(label, { command: SLEEPING })
    containers.set(label, container)
    responders.push(await startResponderIn(t, docker, container, delayUs))
    await dial(docker, container, '10.9.0.2', 80)
  }
  const near = containers.get('near')
  const far = containers.get('far')
  assert.ok(near && far)
  const agents = [await startAgent(t, { receivers }), await startAgent(t, { receivers })]
  for (const agent of agents) {
    await until(
      'both are measured',
      async () => (await latency(agent, near, '10.9.0.2')) && latency(agent, far, '10.9.0.2'),
      {
        deadlineMs: 40_000,
        everyMs: 500,
      },
    )
  }
  const ping = inside(await pidOf(docker, near), 'ping', '-i', '0.05', '-c', '100', '10.9.0.2')
  assert.match(ping, /100 packets transmitted, 100 received, 0% packet loss/)
  assert.doesNotMatch(ping, /DUP/)

  for (const agent of agents) {
    const page = await agent.scrape()
    for (const [label, delayUs] of Object.entries(delays)) {
      const labels = { container_id: `/docker/${containers.get(label)?.name}`, destination_ip: '10.9.0.2' }
      const value = (name: string) => page.value(`container_net_${name}`, labels)
      const seconds = value('latency_seconds') ?? 0
      t.diagnostic(`${label}: ${(seconds * 1e6).toFixed(0)} µs, ${value('probes_sent_total')} probes`)
      // The responders are processes like any other, and may have to wait for a CPU.
      assert.ok(seconds > delayUs / 1e6 && (label === 'far' || seconds < delays.far / 1e6), `${label}: ${seconds}`)
      assert.ok((value('probes_sent_total') ?? 0) >= 20)
      assert.deepEqual([value('probes_lost_total'), value('probes_duplicated_total')], [0, 0])
      const count = value('round_trip_seconds_count') ?? 0
      assert.ok(count > 0 && count <= (value('probes_sent_total') ?? 0))
    }
  }

  // The raw sockets of that namespace, by proc_net(5): each agent holds its own, until the container ends.
  const table = readFileSync(`/proc/${await pidOf(docker, near)}/net/raw`, 'latin1')
    .split('\n')
    .slice(1, -1)
  const raw = new Set(table.map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`))
  const held = (agent: Agent) =>
    readdirSync(`/proc/${agent.pid}/fd`).filter((fd) => {
      try {
        return raw.has(readlinkSync(`/proc/${agent.pid}/fd/${fd}`))
      } catch {
        return false // closed meanwhile
      }
    }).length
  assert.deepEqual(agents.map(held), [1, 1])
  // A namespace ends when nobody is left in it, and the agents know of that by their next look.
  for (const responder of responders) {
    responder.kill('SIGKILL')
    await until('it has ended', () => responder.signalCode !== null)
  }
  for (const agent of agents) await agent.scrape()
  await docker.docker('kill', near.id)
  const killedMs = performance.now()
  await until('the sockets in its namespace are closed', () => agents.every((agent) => held(agent) === 0), {
    deadlineMs: 3000,
  })
  t.diagnostic(`closed ${Math.round(performance.now() - killedMs)} ms after the container was killed`)
})
