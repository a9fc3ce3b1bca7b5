// The real agent and real containers: each is measured from its own network, to who really answers, and nobody is
// disturbed by others who do the same.
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { type Agent, startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import { type Container, type Docker, startDocker } from './docker.ts'

const needs = requires('root', 'addon', 'docker', 'ping')
const receivers = { icmp_latency: { probe_interval: '200ms', max_probes_per_second_and_address: 50 } }

async function pidOf({ docker }: Docker, { id }: Container): Promise<string> {
  return docker('inspect', '--format', '{{.State.Pid}}', id)
}

/** Runs a command in the network namespace of a process. */
const inside = (pid: string, command: string, ...args: string[]) =>
  execFileSync('nsenter', ['-t', pid, '-n', command, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** A bridge that is removed with the test. */
async function makeBridge(t: TestContext, { docker, name }: Docker, label: string, subnet: string): Promise<string> {
  const network = name(label)
  await docker('network', 'create', '--subnet', subnet, network)
  atEnd(t, () => docker('network', 'rm', network))
  return network
}

async function move({ docker }: Docker, { id }: Container, network: string, address: string): Promise<void> {
  await docker('network', 'disconnect', 'none', id)
  await docker('network', 'connect', '--ip', address, network, id)
}

/** Talks from a container to an address for as long as it lives. */
async function dial({ docker }: Docker, { id }: Container, address: string, port: number): Promise<void> {
  await docker('exec', '--detach', id, 'sh', '-c', `while :; do sleep 60 | nc ${address} ${port}; done`)
}

async function latency(agent: Agent, { name }: Container, destination_ip: string): Promise<number | undefined> {
  const page = await agent.scrape()
  return page.value('container_net_latency_seconds', { container_id: `/docker/${name}`, destination_ip })
}

test('containers on two bridges and behind DNAT are measured to who really answers', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const [first, second] = [
    await makeBridge(t, docker, 'first', '10.217.1.0/24'),
    await makeBridge(t, docker, 'second', '10.217.2.0/24'),
  ]
  const serve = ['nc', '-ll', '-p', '8080', '-e', 'cat']
  const sleeping = ['sleep', '600']
  const start = async (label: string, command: string[], network: string, address: string) => {
    const container = await docker.run(label, { command })
    await move(docker, container, network, address)
    return container
  }
  atEnd(t, () => docker.close()) // before the bridges go
  await start('server1', serve, first, '10.217.1.10')
  await start('server2', serve, second, '10.217.2.10')
  const direct = await start('direct', sleeping, first, '10.217.1.20')
  const other = await start('other', sleeping, second, '10.217.2.20')
  const translated = await start('translated', sleeping, second, '10.217.2.21')
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
    const seconds = await until(`${container.name} is measured`, () => latency(agent, container, destination), {
      deadlineMs: 40_000,
      everyMs: 500,
    })
    assert.ok(seconds > 0 && seconds < 0.05, `${seconds} s over a bridge`)
  }
  const page = await agent.scrape()
  const told = page.all('container_net_latency_seconds').map(({ labels }) => labels)
  const destinations = (container: Container) =>
    told.filter(({ container_id }) => container_id === `/docker/${container.name}`).map((one) => one.destination_ip)
  assert.deepEqual(destinations(direct), ['10.217.1.10'])
  assert.deepEqual(destinations(translated), ['10.217.2.10'], 'not the address that it dials')
})

test('equal addresses in two namespaces do not mix, nor do two agents and a ping', needs, async (t) => {
  const docker = await startDocker(t, 'icmp')
  const delays = { near: 2000, far: 20_000 }
  const containers = new Map<string, Container>()
  const responders: ChildProcess[] = []
  for (const [label, delayUs] of Object.entries(delays)) {
    const container = await docker.run(label, { command: ['sleep', '600'] })
    containers.set(label, container)
    const pid = await pidOf(docker, container)
    const tool = buildTool('echo_responder')
    const responder = spawn('nsenter', ['-t', pid, '-n', tool, 'tun0', `*:delay_us=${delayUs}`])
    atEnd(t, () => responder.kill('SIGKILL'))
    responders.push(responder)
    await once(responder.stdout, 'data')
    inside(pid, 'ip', 'address', 'add', '10.9.0.1/24', 'dev', 'tun0')
    inside(pid, 'ip', 'link', 'set', 'tun0', 'up')
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
      assert.ok(seconds > delayUs / 1e6 && seconds < delayUs / 1e6 + 0.005, `${label}: ${seconds}`)
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
  for (const responder of responders) responder.kill('SIGKILL') // a namespace ends when nobody is left in it
  for (const agent of agents) await agent.scrape()
  await docker.docker('kill', near.id)
  await until('the sockets in its namespace are closed', () => agents.every((agent) => held(agent) === 0), {
    deadlineMs: 3000,
  })
})
