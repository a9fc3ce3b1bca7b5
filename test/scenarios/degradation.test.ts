// Parts of the machine are missing or go away: the rest goes on, and the log says once what is missing and what would
// change it.
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { type Agent, startAgent } from '../agent.ts'
import { type Container, startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import { freePort } from '../interop/ports.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const USAGE = 'container_resources_cpu_usage_seconds_total'
const DELAY = 'container_resources_cpu_delay_seconds_total'
const needs = requires('root', 'addon', 'docker', 'bpf')
const fast = { collection_interval: '1s' }
const receivers = { delay_accounting: fast, cgroup: fast }

test(
  'a Docker daemon that is killed and comes back keeps the names, and new containers get theirs',
  needs,
  async (t) => {
    const daemon = await startDaemon(t)
    const { run } = await startDocker(t, 'daemon', daemon.url)
    const before = await run('before', { command: ['sleep', '1000'] })
    const agent = await startAgent(t, { receivers, extensions: { host: { docker: { endpoint: daemon.url } } } })
    await until('its name is known', () => has(agent, USAGE, before))

    await daemon.kill()
    await until('the log says it', () => agent.said(/docker/i).some((line) => line.includes('\twarn\t')))
    const meanwhile = await agent.scrape()
    assert.ok(meanwhile.value(USAGE, labelsOf(before)) !== undefined, 'the name stays while the daemon is away')
    assert.ok(meanwhile.value(DELAY, labelsOf(before)) !== undefined)

    await daemon.start()
    const after = await run('after', { command: ['sleep', '1000'] })
    await until('the new one is known', () => has(agent, USAGE, after))
    assert.ok(await has(agent, USAGE, before))
    assertSaidOnce(agent)
  },
)

test('without any container runtime, containers are told apart by their cgroups', needs, async (t) => {
  const { run } = await startDocker(t, 'noruntime')
  const { id } = await run('one', { command: ['sleep', '1000'] })
  const agent = await startAgent(t, {
    receivers,
    extensions: { host: { docker: { endpoint: 'unix:///run/leadline-nowhere.sock' } } },
  })
  const labels = { container_id: `/docker/${id.slice(0, 12)}` }
  const page = await until('both sources tell of it', async () => {
    const page = await agent.scrape()
    return [USAGE, DELAY].every((metric) => page.value(metric, labels) !== undefined) ? page : undefined
  })
  assert.equal(page.value('container_info', labels), undefined, 'nobody told its image')
  const told = agent.said(/leadline-nowhere\.sock/).filter((line) => !line.includes('Starting leadline'))
  assert.equal(told.length, 1, agent.log())
  assertSaidOnce(agent)
})

test('without permission for BPF, delays come from taskstats', needs, async (t) => {
  const { run } = await startDocker(t, 'nobpf')
  const burner = await run('burner', { flags: ['--cpuset-cpus', '0'], command: ['burner', '2'] })
  const agent = await startAgent(t, { receivers, under: without('bpf', 'perfmon', 'sys_admin') })
  await until('delays grow', async () => ((await agent.scrape()).value(DELAY, labelsOf(burner)) ?? 0) > 0.5)
  assert.ok(await has(agent, USAGE, burner))
  assert.match(agent.said(/CAP_BPF/).join('\n'), /fix/)
  const state = { receiver: 'delay_accounting', state: 'partly' }
  assert.equal((await agent.scrape()).value('otelcol_receivers', state), 1)
  assertSaidOnce(agent)
})

test('without BPF and taskstats, what the cgroups tell goes on', needs, async (t) => {
  const { run } = await startDocker(t, 'nothing')
  const one = await run('one', { command: ['sleep', '1000'] })
  const agent = await startAgent(t, { receivers, under: without('bpf', 'perfmon', 'sys_admin', 'net_admin') })
  await until('cgroup goes on', () => has(agent, USAGE, one))
  const page = await agent.scrape()
  assert.equal(page.all(DELAY).length, 0, 'absent is better than zero')
  const states = page.all('otelcol_receivers').map(({ labels, value }) => [labels.receiver, labels.state, value])
  assert.deepEqual(states.toSorted(), [
    ['cgroup', 'running', 1],
    ['delay_accounting', 'failed', 1],
  ])
  assert.equal(agent.said(/\terror\t.*delay_accounting/).length, 1, agent.log())
  assert.match(agent.said(/\terror\t.*delay_accounting/).join('\n'), /fix.*CAP_NET_ADMIN/)
  assertSaidOnce(agent)
})

test(
  'without permission for BPF, open connections are listed, and the log says what is not counted',
  needs,
  async (t) => {
    const { docker, image, name } = await startDocker(t, 'listed')
    const port = String(await freePort())
    const run = async (label: string, ...command: string[]) => {
      const given = name(label)
      atEnd(t, () => docker('rm', '--force', given))
      await docker('run', '--detach', '--network', 'host', '--name', given, image, 'connections', ...command)
      return { container_id: `/docker/${given}` }
    }
    const server = await run('server', 'listen', '127.0.0.1', port)
    const agent = await startAgent(t, {
      receivers: { tcp_connections: {} },
      processors: { container_attribution: {}, nat_resolution: {} },
      under: without('bpf', 'perfmon', 'sys_admin'),
    })
    const client = await run('client', 'hold', '127.0.0.1', port, '25', '1000')
    const address = `127.0.0.1:${port}`
    const page = await until('they are listed', async () => {
      const page = await agent.scrape()
      const labels = { ...client, destination: address }
      const isComplete =
        page.value('container_net_tcp_active_connections', labels) === 25 &&
        page.value('container_net_tcp_bytes_sent_total', labels) === 25_000
      return isComplete ? page : undefined
    })
    assert.equal(page.value('container_net_tcp_listen_info', { ...server, listen_addr: address }), 1)
    assert.equal(page.value('container_net_tcp_inbound_active_connections', { ...server, listen_addr: address }), 25)
    assert.equal(page.value('container_net_tcp_rtt_seconds_count', { ...client, destination: address }), 25)
    for (const absent of ['successful_connects_total', 'failed_connects_total', 'inbound_accepts_total']) {
      assert.deepEqual(page.all(`container_net_tcp_${absent}`), [], 'absent is better than zero')
    }
    const told = agent.said(/connects and failures are not counted/)
    assert.equal(told.length, 1, agent.log())
    assert.match(agent.said(/tcp_connections/).join('\n'), /fix.*CAP_BPF/s)
    assertSaidOnce(agent)
  },
)

test('on a host with cgroup v1 only, all is known by the v1 hierarchies', needs, async (t) => {
  const { run } = await startDocker(t, 'v1')
  const burner = await run('burner', { flags: ['--cpuset-cpus', '0'], command: ['burner', '2'] })
  // A mount namespace in which the v2 tree is not there: what a v1-only host shows to a process.
  const hide = ['unshare', '--mount', 'sh', '-c', 'umount -l "$0" && exec "$@"', '/sys/fs/cgroup/unified']
  if (!existsSync('/sys/fs/cgroup/unified/cgroup.procs')) return t.skip('needs a hybrid host')
  const agent = await startAgent(t, { receivers, under: hide })
  await until('usage grows', async () => ((await agent.scrape()).value(USAGE, labelsOf(burner)) ?? 0) > 0.5)
  await until('delay grows', async () => ((await agent.scrape()).value(DELAY, labelsOf(burner)) ?? 0) > 0.5)
  assertSaidOnce(agent)
})

const labelsOf = ({ name }: Container) => ({ container_id: `/docker/${name}` })
const has = async (agent: Agent, metric: string, container: Container) =>
  (await agent.scrape()).value(metric, labelsOf(container)) !== undefined

/** Root without these capabilities, from the start and for good (capabilities(7), bounding set). */
function without(...capabilities: string[]): string[] {
  const dropped = capabilities.map((name) => `-${name}`).join(',')
  return ['setpriv', `--bounding-set=${dropped}`, `--inh-caps=${dropped}`]
}

/** No line that warns or complains may come twice: the time in front is not part of it. */
function assertSaidOnce(agent: Agent): void {
  const lines = agent.said(/\t(?:warn|error)\t/).map((line) => line.slice(line.indexOf('\t')))
  assert.deepEqual(lines, [...new Set(lines)])
}

type Daemon = { readonly url: string; start(): Promise<void>; kill(): Promise<void> }

/** A dockerd of our own over a containerd of its own, as on any host: its containers outlive it. Both end with the test. */
async function startDaemon(t: TestContext): Promise<Daemon> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-dockerd-'))
  const url = `unix://${folder}/docker.sock`
  const runtime = `${folder}/containerd.sock`
  const containerd = await startProcess('containerd', [
    ...['--address', runtime, '--root', `${folder}/containerd`, '--state', `${folder}/containerd-state`],
  ])
  atEnd(t, async () => {
    await containerd.end('SIGTERM')
    // With --live-restore dockerd leaves its own mounts where they are.
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
    const ours = mounts.flatMap((line) => line.split(' ')[1] ?? []).filter((path) => path.startsWith(folder))
    if (ours.length > 0) execFileSync('umount', ['--lazy', ...ours.toReversed()])
    rmSync(folder, { recursive: true, force: true })
  })
  await until('our containerd listens', () => existsSync(runtime))
  const flags = ['--data-root', `${folder}/data`, '--exec-root', `${folder}/exec`, '--pidfile', `${folder}/pid`]
  const network = ['--bridge=none', '--iptables=false']
  let dockerd: Process | undefined

  async function start(): Promise<void> {
    const started = await startProcess('dockerd', [
      ...['-H', url, '--containerd', runtime, '--live-restore', ...flags, ...network],
    ])
    dockerd = started
    await until('our dockerd answers', async () => started.isGone() || (await answers(url)), { deadlineMs: 30_000 })
    assert.ok(!started.isGone(), started.said())
  }
  atEnd(t, async () => dockerd?.end('SIGTERM'))
  await start()
  return { url, start, kill: async () => dockerd?.end('SIGKILL') }
}

type Process = { said(): string; isGone(): boolean; end(signal: NodeJS.Signals): Promise<void> }

async function startProcess(command: string, args: readonly string[]): Promise<Process> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  await once(child, 'spawn')
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
  const isGone = () => child.exitCode !== null || child.signalCode !== null
  return {
    said: () => said,
    isGone,
    async end(signal) {
      child.kill(signal)
      await until(`${command} ends`, isGone, { deadlineMs: 20_000 })
    },
  }
}

const answers = (url: string) =>
  promisify(execFile)('docker', ['-H', url, 'version']).then(
    () => true,
    () => false,
  )
