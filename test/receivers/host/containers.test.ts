// Whose subtree a cgroup lies in and what is said of it, while sources answer late, change their minds, or are not there.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { watchCgroups } from '../../../receivers/host/cgroups.ts'
import type { RuntimeInfo, UnitInfo } from '../../../receivers/host/container_id.ts'
import { createContainers } from '../../../receivers/host/containers.ts'
import { createTexts } from '../../../receivers/host/resource.ts'
import { type Answer, type ContainerSource, PENDING, UNKNOWN } from '../../../receivers/host/source.ts'
import type { UnitSource } from '../../../receivers/host/systemd.ts'
import { atEnd } from '../../ending.ts'
import { listeningLog } from '../quiet.ts'

const id = (i: number) => i.toString(16).padStart(64, '0')
const known = (name: string, more: Partial<RuntimeInfo> = {}): Answer<RuntimeInfo> => ({
  state: 'known',
  info: { runtime: 'docker', name, image: 'nginx', labels: {}, env: {}, ...more },
})

/** A tree of folders, a runtime and a systemd that answer what the test says. */
function setUp(t: TestContext, rememberMs = 60_000) {
  const root = mkdtempSync(join(tmpdir(), 'leadline-containers-'))
  atEnd(t, () => rmSync(root, { recursive: true, force: true }))
  const answers = new Map<string, Answer<RuntimeInfo>>()
  const unitAnswers = new Map<string, Answer<UnitInfo>>()
  let asked = 0
  const runtime: ContainerSource = {
    ask(placed) {
      asked++
      return answers.get(placed.id) ?? UNKNOWN
    },
    settled: async () => {},
    stop: async () => {},
  }
  const units: UnitSource = { ask: (unit) => unitAnswers.get(unit) ?? UNKNOWN, settled: async () => {} }
  const tree = watchCgroups({ root, rememberMs, bootMs: 0, log: listeningLog() })
  atEnd(t, () => tree.stop())
  const containers = createContainers({
    ...{ tree, sources: [runtime], units, skipSystemUnits: true, texts: createTexts() },
  })
  async function make(...paths: string[]) {
    for (const path of paths) mkdirSync(root + path, { recursive: true })
    await tree.refresh()
  }
  const at = (path: string) => {
    const cgroup = tree.byPath(path)
    assert.ok(cgroup, path)
    return cgroup
  }
  const whose = (path: string) => {
    const found = containers.attribution(at(path))
    return found.state === 'container' ? found.container.containerId : found.state
  }
  const names = () => [...containers.living()].map(({ containerId }) => containerId)
  const remove = async (path: string) => {
    rmSync(root + path, { recursive: true })
    await tree.refresh()
  }
  return { answers, unitAnswers, containers, make, remove, at, whose, names, tree, asked: () => asked }
}

test('a container is its whole subtree, and what surrounds it is none', async (t) => {
  const { answers, make, whose, names } = setUp(t)
  answers.set(id(1), known('web'))
  await make(`/docker/${id(1)}/a/b`, '/user.slice/user-0.slice/session-1.scope')
  for (const path of ['', '/a', '/a/b']) assert.equal(whose(`/docker/${id(1)}${path}`), '/docker/web')
  for (const path of ['/', '/docker', '/user.slice/user-0.slice/session-1.scope']) assert.equal(whose(path), 'none')
  assert.deepEqual(names(), ['/docker/web'])
})

test('pending until the runtime answers, its id where it does not know, and the name when it comes later', async (t) => {
  const { answers, containers, make, whose, names } = setUp(t)
  answers.set(id(1), PENDING)
  await make(`/docker/${id(1)}`)
  assert.equal(whose(`/docker/${id(1)}`), 'pending')
  assert.deepEqual(names(), [])
  answers.set(id(1), UNKNOWN)
  assert.equal(whose(`/docker/${id(1)}`), `/docker/${id(1).slice(0, 12)}`)
  answers.set(id(1), known('web'))
  assert.equal(whose(`/docker/${id(1)}`), '/docker/web', 'a name that stands in is not kept')
  answers.set(id(1), known('shop'))
  assert.equal(whose(`/docker/${id(1)}`), '/docker/web', 'nobody said that it changed')
  containers.changed(id(1))
  assert.equal(whose(`/docker/${id(1)}`), '/docker/shop')
  containers.changed(id(2)) // nobody we know
})

test('the same words are the same container, so that a series goes on', async (t) => {
  const { answers, containers, make, at } = setUp(t)
  answers.set(id(1), known('web', { labels: { a: 'b' } }))
  await make(`/docker/${id(1)}`)
  const first = containers.attribution(at(`/docker/${id(1)}`))
  answers.set(id(1), known('web', { labels: { a: 'b' } }))
  containers.changed(id(1))
  assert.equal(containers.attribution(at(`/docker/${id(1)}`)), first)
  answers.set(id(1), known('web', { labels: { a: 'c' } }))
  containers.changed(id(1))
  assert.notEqual(containers.attribution(at(`/docker/${id(1)}`)), first)
})

test('a pause container is none, and is not asked about again', async (t) => {
  const { answers, make, whose, asked } = setUp(t)
  const labels = { 'io.kubernetes.pod.name': 'web', 'io.kubernetes.container.name': 'POD' }
  answers.set(id(1), known('k8s_POD_web', { labels }))
  await make(`/kubepods/pod1/${id(1)}`)
  for (let i = 0; i < 10; i++) assert.equal(whose(`/kubepods/pod1/${id(1)}`), 'none')
  assert.equal(asked(), 1)
})

test('units: housekeeping is none, others have their type, and none is lost where nobody answers', async (t) => {
  const { unitAnswers, containers, make, whose, at } = setUp(t)
  unitAnswers.set('nginx.service', { state: 'known', info: { type: 'notify', triggeredBy: '' } })
  unitAnswers.set('backup.service', { state: 'known', info: { type: 'oneshot', triggeredBy: 'backup.timer' } })
  unitAnswers.set('slow.service', PENDING)
  const units = ['nginx', 'backup', 'slow', 'strange', 'systemd-journald']
  await make(...units.map((name) => `/system.slice/${name}.service`))
  assert.deepEqual(
    units.map((name) => whose(`/system.slice/${name}.service`)),
    ['/system.slice/nginx.service', 'none', 'pending', '/system.slice/strange.service', 'none'],
  )
  const nginx = containers.attribution(at('/system.slice/nginx.service'))
  assert.ok(nginx.state === 'container' && nginx.container.systemd?.type === 'notify')
})

test('names and labels may be anything: what is told is bounded and valid', async (t) => {
  const { answers, containers, make, at } = setUp(t)
  const name = `a"b\n\\\ud800${'x'.repeat(4096)}`
  const labels = { 'app.kubernetes.io/name': name, ['k'.repeat(4096)]: name }
  answers.set(id(1), known(name, { image: name, labels }))
  await make(`/docker/${id(1)}`)
  const found = containers.attribution(at(`/docker/${id(1)}`))
  assert.ok(found.state === 'container')
  const { containerId, image, resource } = found.container
  for (const text of [containerId, image, ...Object.values(resource)]) {
    assert.ok(text.length <= 1024 && text.isWellFormed())
  }
})

test('the dead keep their name as long as they are remembered, and nothing of them longer', async (t) => {
  const { answers, containers, make, remove, at, tree, names } = setUp(t, 50)
  answers.set(id(1), known('web'))
  await make(`/docker/${id(1)}`)
  const cgroup = at(`/docker/${id(1)}`)
  await remove(`/docker/${id(1)}`)
  containers.forget()
  const last = containers.attribution(cgroup)
  assert.equal(last.state === 'container' && last.container.containerId, '/docker/web')
  assert.deepEqual(names(), [], 'it does not live')
  await new Promise((resolve) => setTimeout(resolve, 80))
  await tree.refresh()
  containers.forget()
  assert.equal(tree.byId(cgroup.id), undefined)
  // Whoever still holds it gets the same answer.
  assert.equal(containers.attribution(cgroup).state, 'container')
})

/** Bytes in use, without what is only waiting to be collected. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}

test('a thousand containers, four generations: the answers are right, in time, and memory is given back', async (t) => {
  const { answers, containers, make, remove, tree, names, asked } = setUp(t, 1)
  const startMs = performance.now()
  let grown = 0
  for (let generation = 0; generation < 4; generation++) {
    const ids = Array.from({ length: 1000 }, (_, i) => id(generation * 1000 + i))
    for (const [i, one] of ids.entries()) answers.set(one, known(`web${generation}-${i}`))
    await make(...ids.map((one) => `/docker/${one}`))
    await containers.settled()
    assert.equal(new Set(names()).size, 1000)
    await containers.settled()
    await remove('/docker')
    await new Promise((resolve) => setTimeout(resolve, 5))
    await tree.refresh()
    containers.forget()
    for (const one of ids) answers.delete(one)
    assert.deepEqual([...tree.living()].length, 1)
    if (generation === 1) grown = heapUsed()
  }
  assert.equal(asked(), 4000, 'each was asked about once')
  const more = (heapUsed() - grown) / 2000
  t.diagnostic(`${Math.round(more)} bytes stay of each`)
  assert.ok(more < 400, `${Math.round(more)} bytes stay of each`)
  assert.ok(performance.now() - startMs < 60_000)
})
