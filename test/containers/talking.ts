// Containers on bridges that talk to somebody over TCP, and what the agent says of how far that is.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import type { Agent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'
import type { Container, Docker } from './docker.ts'

export const ECHO_SERVER = ['nc', '-ll', '-p', '8080', '-e', 'cat']
export const SLEEPING = ['sleep', '600']

export async function pidOf({ docker }: Docker, { id }: Container): Promise<string> {
  return docker('inspect', '--format', '{{.State.Pid}}', id)
}

/** Runs a command in the network namespace of a process. */
export const inside = (pid: string, command: string, ...args: string[]) =>
  execFileSync('nsenter', ['-t', pid, '-n', command, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** A bridge that is removed with the test. */
export async function makeBridge(
  t: TestContext,
  { docker, name }: Docker,
  label: string,
  ...subnets: string[]
): Promise<string> {
  const network = name(label)
  const flags = subnets.flatMap((subnet) => ['--subnet', subnet])
  if (subnets.some((subnet) => subnet.includes(':'))) flags.push('--ipv6')
  await docker('network', 'create', ...flags, network)
  atEnd(t, () => docker('network', 'rm', network))
  return network
}

/** Starts a container in this network, with these addresses. */
export async function startIn(
  docker: Docker,
  network: string,
  label: string,
  command: readonly string[],
  ...addresses: string[]
): Promise<Container> {
  const container = await docker.run(label, { command })
  await docker.docker('network', 'disconnect', 'none', container.id)
  const flags = addresses.flatMap((address) => [address.includes(':') ? '--ip6' : '--ip', address])
  await docker.docker('network', 'connect', ...flags, network, container.id)
  return container
}

/** Talks from a container to an address for as long as it lives. */
export async function dial({ docker }: Docker, { id }: Container, address: string, port: number): Promise<void> {
  await docker('exec', '--detach', id, 'sh', '-c', `while :; do (echo hello; sleep 600) | nc ${address} ${port}; done`)
}

/** In the container's network everybody of 10.9.0.0/24 answers ICMP echo after that time (test/tools/echo_responder.c). */
export async function startResponderIn(
  t: TestContext,
  docker: Docker,
  container: Container,
  delayUs: number,
): Promise<ChildProcess> {
  const pid = await pidOf(docker, container)
  const tool = buildTool('echo_responder')
  const responder = spawn('nsenter', ['-t', pid, '-n', tool, 'tun0', `*:delay_us=${delayUs}`])
  atEnd(t, () => responder.kill('SIGKILL'))
  await once(responder.stdout, 'data')
  inside(pid, 'ip', 'address', 'add', '10.9.0.1/24', 'dev', 'tun0')
  inside(pid, 'ip', 'link', 'set', 'tun0', 'up')
  return responder
}

export async function latency(
  agent: Agent,
  { name }: Container,
  destination_ip: string,
  metric = 'container_net_latency_seconds',
): Promise<number | undefined> {
  const page = await agent.scrape()
  return page.value(metric, { container_id: `/docker/${name}`, destination_ip })
}

/** Waits until it is told. */
export const measured = (...asked: Parameters<typeof latency>): Promise<number> =>
  until(`${asked[1].name} is measured`, () => latency(...asked), { deadlineMs: 40_000, everyMs: 500 })
