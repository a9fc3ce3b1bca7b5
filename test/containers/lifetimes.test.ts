// Whose it was: processes that came from the runtime's cgroup, nested cgroups, a name used again, a life of 50 ms. And how
// the runtime is asked: through a proxy that counts, and that can be made to hold everything up.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createNoopMeter } from '@opentelemetry/api'
import * as z from 'zod/mini'
import delayAccounting from '../../receivers/delay_accounting/index.ts'
import type { Cgroup, Host } from '../../receivers/host/host.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { startDocker } from './docker.ts'

const needs = requires('root', 'addon', 'docker', 'bpf')
const CPU = 'container.resources.cpu.delay'

async function openHost(t: TestContext, settings: z.input<typeof hostSettings> = {}): Promise<Host> {
  const host = await startHost({ log: listeningLog(), settings: z.parse(hostSettings, settings) })
  atEnd(t, () => host.stop())
  await host.refresh(2000)
  return host
}
const nameOf = (host: Host, cgroup: Cgroup | undefined): string | undefined => {
  const whose = cgroup && host.attribution(cgroup)
  return whose?.state === 'container' ? whose.container.containerId : whose?.state
}

/** CPU delay in seconds of each container, by its name, after a collection. */
async function openDelays(t: TestContext, host: Host, source: 'bpf' | 'taskstats') {
  const context = { host, log: listeningLog(), meter: createNoopMeter(), id: 'delay_accounting', logs: () => {} }
  const receiver = await delayAccounting.start({ source, history: false }, context)
  atEnd(t, () => receiver.stop?.())
  return async () => {
    await host.refresh(2000)
    const sums = new Map<string, number>()
    await receiver.collect({
      record(subject, metric, value) {
        const name = subject.kind === 'cgroup' ? nameOf(host, subject) : undefined
        if (metric === CPU && name !== undefined) sums.set(name, (sums.get(name) ?? 0) + value)
      },
      distribution: () => {},
      failed(error) {
        throw error
      },
    })
    return sums
  }
}

for (const source of ['bpf', 'taskstats'] as const) {
  test(`${source}: a storm of processes that docker exec started belongs to the container`, needs, async (t) => {
    const { docker, run } = await startDocker(t, 'moved')
    const host = await openHost(t)
    const collect = await openDelays(t, host, source)
    const { id, name } = await run('web', { command: ['sleep', '1000'] })
    await collect()
    // Its first process is forked by the runtime, in the runtime's cgroup, and moved in; then come 200 that live 5 ms.
    const truth = Number(await docker('exec', id, 'fork_storm', '200', '5', '6')) / 1e9
    const ours = await until('all of it is counted', async () => {
      const sum = (await collect()).get(`/docker/${name}`) ?? 0
      return sum >= truth * 0.99 ? sum : undefined
    })
    assert.ok(ours <= truth * 1.05 + 0.3, `ours ${ours} s, the processes' own ${truth} s`)
  })

  test(`${source}: containers that lived for 50 ms, between two collections, have their names`, needs, async (t) => {
    const { docker, name, image } = await startDocker(t, 'short')
    const host = await openHost(t)
    const collect = await openDelays(t, host, source)
    await collect()
    const names = [1, 2, 3].map((i) => name(`job${i}`))
    for (const one of names) {
      await docker('run', '--rm', '--network', 'none', '--name', one, image, 'usleep', '50000')
    }
    const sums = await collect()
    for (const one of names) assert.ok(sums.has(`/docker/${one}`), `${one} is not among ${[...sums.keys()]}`)
  })
}

test(
  'nested cgroups are their container’s, those that are made later and those that live for moments too',
  needs,
  async (t) => {
    const { docker, run } = await startDocker(t, 'nested')
    const host = await openHost(t)
    const { id, name } = await run('web', { command: ['sleep', '1000'] })
    const pid = Number(await docker('inspect', '-f', '{{.State.Pid}}', id))
    const top = host.cgroupOf(pid)
    assert.ok(top)
    const directory = `${host.layout.root}${top.path}`
    for (const path of ['/a', '/a/b']) mkdirSync(directory + path)
    atEnd(t, async () => {
      writeFileSync(`${directory}/cgroup.procs`, String(pid))
      for (const path of ['/a/b', '/a']) rmdirSync(directory + path)
    })
    writeFileSync(`${directory}/a/b/cgroup.procs`, String(pid))
    const inside = host.cgroupOf(pid)
    assert.equal(inside?.path, `${top.path}/a/b`)
    await host.refresh(2000)
    assert.equal(nameOf(host, inside), `/docker/${name}`)
    mkdirSync(`${directory}/moment`)
    const { ino } = statSync(`${directory}/moment`)
    rmdirSync(`${directory}/moment`)
    await host.refresh(2000)
    assert.equal(nameOf(host, host.cgroup(ino)), `/docker/${name}`)
    assert.equal(host.cgroupAt(`${top.path}/moment`), undefined)
    const containers = [...host.containers()].filter(({ containerId }) => containerId === `/docker/${name}`)
    assert.deepEqual(
      containers.map(({ top: of }) => of),
      [top],
      'one container, however many cgroups it has',
    )
  },
)

test('a name that is used again at once is another container', needs, async (t) => {
  const { docker, name, image } = await startDocker(t, 'again')
  const host = await openHost(t)
  const one = name('web')
  const start = () => docker('run', '--detach', '--network', 'none', '--name', one, image, 'sleep', '1000')
  const seen = new Map<number, string | undefined>()
  atEnd(t, () => docker('rm', '-f', one))
  for (let i = 0; i < 3; i++) {
    if (i > 0) await docker('rm', '-f', one)
    const id = await start()
    const top = host.cgroupOf(Number(await docker('inspect', '-f', '{{.State.Pid}}', id)))
    await host.refresh(2000)
    assert.ok(top)
    seen.set(top.id, nameOf(host, top))
    const named = [...host.containers()].filter(({ containerId }) => containerId === `/docker/${one}`)
    assert.deepEqual(
      named.map(({ top: of, resource }) => [of.id, resource['container.id']]),
      [[top.id, id]],
    )
  }
  assert.equal(seen.size, 3)
  for (const [id, known] of seen) {
    assert.equal(known, `/docker/${one}`)
    assert.equal(nameOf(host, host.cgroup(id)), `/docker/${one}`, 'also when it is gone')
  }
})

/** Hands everything on to the Docker daemon, notes what is asked, and stops doing so while it is held. */
async function startProxy(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-proxy-'))
  const path = join(folder, 'docker.sock')
  const asked: string[] = []
  const sockets = new Set<Socket>()
  let held = false
  const server = createServer((client) => {
    const engine = connect('/var/run/docker.sock')
    for (const socket of [client, engine]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        engine.destroy()
      })
    }
    client.on('data', (data) => {
      for (const [, url = ''] of data.toString('latin1').matchAll(/^(?:GET|POST) (\S+)/gm)) asked.push(url)
      if (!held) engine.write(data)
    })
    engine.on('data', (data) => client.write(data))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  atEnd(t, async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true, force: true })
  })
  return { endpoint: `unix://${path}`, asked, hold: (now: boolean) => (held = now) }
}

test('the runtime is asked once, in time, and not again for a while about what it does not know', needs, async (t) => {
  const proxy = await startProxy(t)
  const host = await openHost(t, { negative_cache: '1s', docker: { endpoint: proxy.endpoint, timeout: '400ms' } })
  /** A cgroup like Docker's, of a container that Docker never made. */
  const strange = (digit: string) => {
    const id = digit.repeat(64)
    const directory = `${host.layout.root}/docker/${id}`
    mkdirSync(directory)
    atEnd(t, () => rmdirSync(directory))
    return { id, questions: () => proxy.asked.filter((url) => url.includes(`/containers/${id}/json`)).length }
  }
  const whose = (id: string) => nameOf(host, host.cgroupAt(`/docker/${id}`))

  await until(
    'docker answers',
    () => [...host.containers()].length >= 0 && proxy.asked.some((url) => url.includes('/containers/json')),
  )
  const first = strange('e')
  for (let i = 0; i < 20; i++) await host.refresh(2000)
  assert.equal(whose(first.id), `/docker/${first.id.slice(0, 12)}`, 'by its id, which is all there is to know')
  assert.equal(first.questions(), 1)
  await sleep(1100)
  for (let i = 0; i < 20; i++) await host.refresh(2000)
  assert.equal(first.questions(), 2)

  proxy.hold(true)
  const second = strange('f')
  const startMs = performance.now()
  await host.refresh(100)
  assert.ok(performance.now() - startMs < 350, 'a collection does not wait longer than it wants to')
  assert.equal(whose(second.id), 'pending')
  await host.refresh(5000)
  assert.ok(performance.now() - startMs < 2500, 'a question ends at its deadline')
  assert.equal(whose(second.id), `/docker/${second.id.slice(0, 12)}`)
  assert.equal(second.questions(), 1)
})
