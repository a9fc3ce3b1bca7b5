// Ports that Docker publishes without docker-proxy (`--userland-proxy=false`): all is translation then, also what the
// host dials on its own addresses, and only Docker's list tells where they lead. By a daemon of our own, in a network namespace that stands for the host's.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { atEnd } from '../ending.ts'
import { keepConntrack, listedByConntrack } from '../kernel/conntrack_listing.ts'
import { makeNamespace, type Namespace } from '../kernel/network.ts'
import { type Collected, connections, pathOf, startReceiver } from '../kernel/tcp.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

const LISTENING = ['connections', 'listen', '0.0.0.0', '8080']
const needs = requires('root', 'addon', 'bpf', 'docker', 'netfilter')

/** Returns its socket. */
async function startDaemon(t: TestContext, { name }: Namespace): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-dockerd-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  const socket = `unix://${folder}/sock`
  const paths = ['--data-root', `${folder}/data`, '--exec-root', `${folder}/exec`, '--pidfile', `${folder}/pid`]
  // Unlike `ip netns exec` it leaves the control groups where they are.
  const command = [`--net=/run/netns/${name}`, 'dockerd', '-H', socket, ...paths, '--userland-proxy=false']
  const daemon = spawn('nsenter', command, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const isGone = () => daemon.exitCode !== null || daemon.signalCode !== null
  atEnd(t, async () => {
    daemon.kill('SIGTERM')
    await until('dockerd ends', isGone, { deadlineMs: 20_000 })
  })
  await until('dockerd listens', () => isGone() || said.includes('API listen on'), { deadlineMs: 30_000 })
  assert.ok(!isGone(), said)
  return socket
}

test('a published port without docker-proxy, dialled by a container and by the host itself', needs, async (t) => {
  const host = makeNamespace(t)
  const socket = await startDaemon(t, host)
  const { docker, image, name } = await startDocker(t, 'published', socket)
  async function run(flags: readonly string[], ...command: string[]) {
    const id = await docker('run', '--detach', '--name', name('peer'), ...flags, image, ...command)
    atEnd(t, () => docker('rm', '--force', id))
    const format = '{{.State.Pid}} {{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}'
    const [pid = '', address = '', gateway = ''] = (await docker('inspect', '--format', format, id)).split(' ')
    return { id, address, gateway, inode: statSync(`/proc/${pid}/ns/net`).ino }
  }
  const server = await run(['--publish', '8080'], ...LISTENING)
  const client = await run([], 'sleep', '600')
  const portOf = async ({ id }: { id: string }) =>
    Number((await docker('port', id, '8080')).split('\n')[0]?.split(':').at(-1))
  const port = await portOf(server)
  keepConntrack(host)
  const receiver = await startReceiver(t, { inside: [client, host], initial: host, docker: socket })
  const { gateway } = client
  const storm = (address: string, count: number) => ['storm', address, String(port), String(count), '0', 'rst', '10']
  await docker('exec', client.id, 'connections', ...storm(gateway, 40))
  for (const [address, count] of [
    ['127.0.0.1', 30],
    [gateway, 20],
  ] as const) {
    assert.equal((await connections(host, ...storm(address, count)))[0], count)
  }
  const now = await receiver.collectUntil((seen) => seen.sum('active_connections') === 0)
  const actual = `${server.address}:8080`
  assert.deepEqual(now.answered('successful_connects', `127.0.0.1:${port}`), { [actual]: 30 })
  assert.deepEqual(now.answered('successful_connects', `${gateway}:${port}`), { [actual]: 60 })
  assert.deepEqual(listedByConntrack(host), { [actual]: 90 })

  /** Where a container can be reached through the host, as the last look has it. */
  const published = ({ points }: Collected, { id }: { id: string }) =>
    points.flatMap(({ subject, metric, attributes }) =>
      metric === 'listen.info' && attributes.proxy === 'dockerd' && pathOf(subject)?.endsWith(id)
        ? [attributes.listen_addr]
        : [],
    )
  assert.deepEqual(published(now, server).toSorted(), [`127.0.0.1:${port}`, `${gateway}:${port}`])
  assert.deepEqual(published(now, client), [])
  // One that comes later, bound to one address, and to a port of UDP as well; and those that go.
  const later = await run(['--publish', '127.0.0.1::8080', '--publish', '8081/udp'], ...LISTENING)
  const seen = await receiver.collectUntil((page) => published(page, later).length > 0)
  assert.deepEqual(published(seen, later), [`127.0.0.1:${await portOf(later)}`])
  assert.equal(published(seen, server).length, 2)
  await docker('stop', '--time', '0', later.id)
  await docker('rm', '--force', server.id)
  const isGone = (page: Collected) => published(page, later).length + published(page, server).length === 0
  assert.ok(isGone(await receiver.collectUntil(isGone)))
  await docker('start', later.id)
  const again = await receiver.collectUntil((page) => published(page, later).length > 0)
  assert.deepEqual(published(again, later), [`127.0.0.1:${await portOf(later)}`])
})
