// What Docker translates: published ports in the host's namespace, its DNS in that of the container. And docker-proxy,
// which is two connections and no translation.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { addressBytes, endpointText } from '../../receivers/host/address.ts'
import type { Host } from '../../receivers/host/host.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { type Nat, openNat, type Resolution } from '../../receivers/host/nat.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Docker, startDocker } from './docker.ts'

const needs = requires('root', 'addon', 'docker', 'netfilter')

async function started(t: TestContext): Promise<{ host: Host; nat: Nat; docker: Docker }> {
  const log = listeningLog()
  const host = await startHost({ log, settings: hostSettings.parse({}) })
  atEnd(t, () => host.stop())
  const nat = openNat(host.namespaces, log)
  atEnd(t, () => nat.stop())
  return { host, nat, docker: await startDocker(t, 'nat') }
}

const SERVER = ['nc', '-ll', '-p', '8080', '-e', 'cat']

/** With a network, unlike Docker.run. */
async function run(t: TestContext, { docker, image, name }: Docker, flags: string[], ...command: string[]) {
  const given = name('peer')
  atEnd(t, () => docker('rm', '--force', given))
  const id = (await docker('run', '--detach', '--name', given, ...flags, image, ...command)).split('\n').at(-1) ?? ''
  const [pid = '', address = ''] = (
    await docker('inspect', '--format', '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', id)
  ).split(' ')
  return { id, pid, address }
}

/** A bridge of our own, and the host's address on it. */
async function makeNetwork(t: TestContext, { docker, name }: Docker, ...flags: string[]) {
  const network = name('network')
  await docker('network', 'create', ...flags, network)
  atEnd(t, () => docker('network', 'rm', network))
  const gateway = await docker('network', 'inspect', network, '--format', '{{(index .IPAM.Config 0).Gateway}}')
  return { network, gateway }
}

async function dialled(t: TestContext, host: string, port: number): Promise<Socket> {
  const socket = await until('somebody listens', async () => {
    const attempt = connect({ host, port })
    atEnd(t, () => attempt.destroy())
    await once(attempt, 'connect')
    return attempt
  })
  return socket
}

const bytes = (text = '') => addressBytes(text) ?? new Uint8Array()

const said = (resolution: Resolution | undefined) =>
  resolution?.state === 'translated' ? endpointText(resolution.address, resolution.port) : resolution?.state

/** The tuple that `ss` shows of the one connection to this address, inside a process's network namespace. */
async function tupleInside(pid: string, to: string) {
  const line = await until(`a connection to ${to}`, () =>
    execFileSync('nsenter', ['-t', pid, '-n', 'ss', '-Htn', 'state', 'established', 'dst', to], {
      encoding: 'utf8',
    }).trim(),
  )
  const [, source, sourcePort, destination, destinationPort] = /(\S+):(\d+)\s+(\S+):(\d+)/.exec(line) ?? []
  return {
    source: bytes(source),
    sourcePort: Number(sourcePort),
    destination: bytes(destination),
    destinationPort: Number(destinationPort),
  }
}

test(
  'a published port, dialled by the host, is the container; through docker-proxy it is what was dialled',
  needs,
  async (t) => {
    const { host, nat, docker } = await started(t)
    const { network, gateway } = await makeNetwork(t, docker)
    const server = await run(t, docker, ['--network', network, '--publish', '8080'], ...SERVER)
    const port = Number((await docker.docker('port', server.id, '8080')).split('\n')[0]?.split(':').at(-1))
    const resolved = async (address: string) => {
      const { localAddress, localPort } = await dialled(t, address, port)
      const tuple = {
        source: bytes(localAddress),
        sourcePort: Number(localPort),
        destination: bytes(address),
        destinationPort: port,
      }
      return said(nat.resolve([{ ...tuple, netns: host.namespaces.initial }])[0])
    }
    assert.equal(await resolved(gateway), `${server.address}:8080`)
    assert.ok(['direct', 'untracked'].includes((await resolved('127.0.0.1')) ?? ''), 'docker-proxy')
  },
)

test('a published port, dialled by a container of another network', needs, async (t) => {
  const { host, nat, docker } = await started(t)
  const [there, { network, gateway }] = [await makeNetwork(t, docker), await makeNetwork(t, docker)]
  const server = await run(t, docker, ['--network', there.network, '--publish', '8080'], ...SERVER)
  const port = (await docker.docker('port', server.id, '8080')).split('\n')[0]?.split(':').at(-1) ?? ''
  const client = await run(t, docker, ['--network', network], 'sh', '-c', `sleep 600 | nc ${gateway} ${port}`)
  const tuple = await tupleInside(client.pid, gateway)
  await host.refresh(1000)
  const netns = [...host.namespaces.living()].find(({ pid }) => String(pid) === client.pid)?.netns
  assert.ok(netns)
  // Docker keeps its networks apart, so that this goes to docker-proxy on some versions and straight on others.
  const listed = execFileSync('conntrack', ['-L', '-p', 'tcp', '--orig-port-src', String(tuple.sourcePort)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [, address, reached] = /dport=\d+ (?:\[UNREPLIED\] )?src=(\S+) dst=\S+ sport=(\d+)/.exec(listed) ?? []
  const expected = address === gateway ? 'direct' : `${address}:${reached}`
  assert.equal(said(nat.resolve([{ ...tuple, netns }])[0]), expected)
})

test("Docker's DNS is translated in the container's own namespace", needs, async (t) => {
  const { host, nat, docker } = await started(t)
  const { network } = await makeNetwork(t, docker, '--internal')
  const client = await run(t, docker, ['--network', network], 'sh', '-c', 'sleep 600 | nc 127.0.0.11 53')
  const tuple = await tupleInside(client.pid, '127.0.0.11')
  await host.refresh(1000)
  const netns = [...host.namespaces.living()].find(({ pid }) => String(pid) === client.pid)?.netns
  assert.ok(netns)
  const listed = execFileSync('nsenter', ['-t', client.pid, '-n', 'conntrack', '-L', '-p', 'tcp'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const port = /src=127\.0\.0\.11 dst=\S+ sport=(\d+)/.exec(listed)?.[1]
  assert.notEqual(port, '53', 'translated, as conntrack has it')
  assert.equal(said(nat.resolve([{ ...tuple, netns }])[0]), `127.0.0.11:${port}`)
  const [elsewhere] = nat.resolve([{ ...tuple, netns: host.namespaces.initial }])
  assert.equal(elsewhere?.state, 'untracked', 'nothing of it is in the host')
})
