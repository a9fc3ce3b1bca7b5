// The whole agent beside Docker's containers: clients that live for moments, containers that are gone before anybody
// looks, and Docker's own DNS, which is translated in the container's namespace.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { type Agent, startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Docker, startDocker } from './docker.ts'

const needs = requires('root', 'addon', 'docker', 'bpf', 'netfilter')
const CONNECTS = 'container_net_tcp_successful_connects_total'

/** A bridge with a server on it, and the agent, which looks when it is scraped and never in between. */
async function started(t: TestContext) {
  const docker = await startDocker(t, 'tcp')
  const network = docker.name('network')
  await docker.docker('network', 'create', network)
  atEnd(t, () => docker.docker('network', 'rm', network))
  const server = await run(t, docker, network, 'server', 'connections', 'listen', '0.0.0.0', '7000')
  const agent = await startAgent(t, {
    receivers: { tcp_connections: { collection_interval: '1h' } },
    processors: { container_attribution: {}, nat_resolution: {} },
  })
  return { docker, network, server, agent }
}

async function run(
  t: TestContext,
  { docker, image, name }: Docker,
  network: string,
  label: string,
  ...command: string[]
) {
  const given = name(label)
  atEnd(t, () => docker('rm', '--force', given))
  await docker('run', '--detach', '--name', given, '--network', network, image, ...command)
  const inspected = await docker(
    'inspect',
    '--format',
    '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
    given,
  )
  const [pid = '', address = ''] = inspected.split(' ')
  return { name: given, pid, address }
}

const inside = (pid: string, ...command: string[]) =>
  execFileSync('nsenter', ['--target', pid, '--net', ...command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })

/** Connections that the server's namespace has accepted, as its kernel counts. */
function passiveOpens(pid: string): number {
  const [names = '', values = ''] = [...inside(pid, 'cat', '/proc/net/snmp').matchAll(/^Tcp: (.*)$/gm)].map(
    ([, line]) => line,
  )
  return Number(values.split(' ')[names.split(' ').indexOf('PassiveOpens')])
}

async function connectsOf(agent: Agent, container: string, destination: string): Promise<number | undefined> {
  return (await agent.scrape()).value(CONNECTS, { container_id: `/docker/${container}`, destination })
}

test(
  'three thousand clients that exit at once, in a container that is gone when somebody looks, and twenty more such',
  needs,
  async (t) => {
    const { docker, network, server, agent } = await started(t)
    await agent.scrape()
    const destination = `${server.address}:7000`
    const client = async (label: string, count: number, rate: number) => {
      const name = docker.name(label)
      const flags = ['--rm', '--network', network, '--name', name, docker.image]
      const command = ['connections', 'fork', server.address, '7000', String(count), String(rate)]
      const [established = 0, failed = 0] = (await docker.docker('run', ...flags, ...command)).split(' ').map(Number)
      assert.deepEqual([established, failed], [count, 0])
      return { name, count }
    }
    const clients = [
      client('many', 3000, 200),
      ...Array.from({ length: 4 }, async (_, i) => {
        const short = []
        for (let k = 0; k < 5; k++) short.push(await client('short', 10 + i, 0))
        return short
      }),
    ]
    const gone = (await Promise.all(clients)).flat()
    assert.equal(await docker.docker('ps', '--quiet', '--filter', `name=${gone[0]?.name}`), '')
    assert.equal(
      passiveOpens(server.pid),
      gone.reduce((sum, { count }) => sum + count, 0),
    )
    const page = await agent.scrape()
    for (const { name, count } of gone) {
      const labels = { container_id: `/docker/${name}`, destination }
      assert.equal(page.value(CONNECTS, labels), count, name)
      assert.equal(page.value('container_net_tcp_active_connections', labels), 0)
    }
    const inbound = { container_id: `/docker/${server.name}`, listen_addr: destination }
    await until(
      'the server has closed the last one',
      async () => (await agent.scrape()).value('container_net_tcp_inbound_active_connections', inbound) === 0,
    )
    assert.equal(
      (await agent.scrape()).value('container_net_tcp_inbound_accepts_total', inbound),
      passiveOpens(server.pid),
    )
  },
)

test(
  "Docker's DNS is dialled at 127.0.0.11 and answered where conntrack says, also when it is reset at once",
  needs,
  async (t) => {
    const { docker, network, agent } = await started(t)
    const client = await run(t, docker, network, 'client', 'sleep', '600')
    const stormed = await docker.docker(
      'exec',
      client.name,
      'connections',
      'storm',
      '127.0.0.11',
      '53',
      '200',
      '1000',
      'rst',
    )
    assert.equal(stormed.split(' ')[0], '200')
    const listed = inside(client.pid, 'conntrack', '-L', '-p', 'tcp', '--orig-port-dst', '53')
    const answers = new Set([...listed.matchAll(/src=127\.0\.0\.11 dst=\S+ sport=(\d+)/g)].map(([, port]) => port))
    assert.equal(answers.size, 1, listed)
    const [port] = answers
    assert.notEqual(port, '53')
    assert.equal(await connectsOf(agent, client.name, '127.0.0.11:53'), 200)
    const found = (await agent.scrape()).all(CONNECTS, { container_id: `/docker/${client.name}` })
    assert.deepEqual(
      found.map(({ labels }) => labels.actual_destination),
      [`127.0.0.11:${port}`],
    )
  },
)
