// Ports that Docker publishes without docker-proxy (`--userland-proxy=false`): all is translation then, also what the
// host dials on its own addresses. By a daemon of our own, in a network namespace that stands for the host's.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { atEnd } from '../ending.ts'
import { keepConntrack, listedByConntrack } from '../kernel/conntrack_listing.ts'
import { makeNamespace, type Namespace } from '../kernel/network.ts'
import { connections, startReceiver } from '../kernel/tcp.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

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
  const daemon = await startDocker(t, 'published', await startDaemon(t, host))
  const { docker, image, name } = daemon
  async function run(flags: readonly string[], ...command: string[]) {
    const id = await docker('run', '--detach', '--name', name('peer'), ...flags, image, ...command)
    atEnd(t, () => docker('rm', '--force', id))
    const format = '{{.State.Pid}} {{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}'
    const [pid = '', address = '', gateway = ''] = (await docker('inspect', '--format', format, id)).split(' ')
    return { id, address, gateway, inode: statSync(`/proc/${pid}/ns/net`).ino }
  }
  const server = await run(['--publish', '8080'], 'connections', 'listen', '0.0.0.0', '8080')
  const client = await run([], 'sleep', '600')
  const port = Number((await docker('port', server.id, '8080')).split('\n')[0]?.split(':').at(-1))
  keepConntrack(host)
  const receiver = await startReceiver(t, { inside: [client, host], initial: host })
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
})
