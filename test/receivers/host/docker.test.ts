// What a real Docker Engine cannot be made to do at will: it hangs, talks garbage, is slow, comes back, does not know.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../until.ts'
import {
  type Answer,
  container,
  dockerServer,
  event,
  hang,
  id,
  inspected,
  json,
  missing,
  ours,
} from './docker_server.ts'

// It takes a second to load on a busy machine, after which nobody waits for the first answer any more.
await import('dockerode')

const questions = (asked: readonly string[]) => asked.filter((url) => /^\/containers\/[0-9a-z]{64}\/json/.test(url))

test('names come from the list, then from events, and no question is put', async (t) => {
  const server = await dockerServer(t)
  server.script.list = json([container('a', 'web'), container('b', 'x', { Names: ['/c/alias', '/db'] })])
  const docker = ours(t, server)
  assert.equal(docker.name('a'), 'pending', 'the list is on its way')
  await docker.source.settled()
  assert.deepEqual([docker.name('a'), docker.name('b')], ['web', 'db'])
  server.tell(event('c', 'create', 'new'))
  await until('the event is seen', () => docker.changed.includes(id('c')))
  assert.equal(docker.name('c'), 'new')
  server.tell(event('a', 'rename', 'shop', { oldName: '/web' }))
  await until('its new name', () => docker.name('a') === 'shop')
  server.tell(event('a', 'destroy', 'shop'))
  await sleep(50)
  assert.equal(docker.name('a'), 'shop', 'its last numbers come later')
  assert.deepEqual(questions(server.asked), [])
  assert.match(server.asked[0] ?? '', /^\/events\?filters=/)
})

test('events that came while the list was made are newer than it', async (t) => {
  const server = await dockerServer(t)
  server.script.list = (response, request) => {
    server.tell(event('a', 'rename', 'shop'))
    setTimeout(() => json([container('a', 'web')])(response, request), 200)
  }
  const docker = ours(t, server)
  await docker.source.settled()
  assert.equal(docker.name('a'), 'shop')
})

test('a name that was told while a question was under way is newer than its answer', async (t) => {
  const server = await dockerServer(t)
  let answer = () => {}
  server.script.inspect = (response, request) => {
    answer = () => json(inspected('web'))(response, request)
  }
  const docker = ours(t, server)
  await docker.source.settled()
  assert.equal(docker.name('a'), 'pending')
  await until('it is asked', () => questions(server.asked).length === 1)
  server.tell(event('a', 'rename', 'shop'))
  await until('the event is seen', () => docker.changed.length > 0)
  answer()
  await docker.source.settled()
  assert.equal(docker.name('a'), 'shop')
})

test('a question is put once, and a negative answer is remembered for a while', async (t) => {
  const server = await dockerServer(t)
  const docker = ours(t, server, { negativeMs: 400 })
  await docker.source.settled()
  for (let i = 0; i < 100; i++) assert.equal(docker.name('a'), 'pending')
  await docker.source.settled()
  for (let i = 0; i < 100; i++) assert.equal(docker.name('a'), 'unknown')
  assert.equal(questions(server.asked).length, 1)
  await sleep(450)
  server.script.inspect = json(inspected('late'))
  assert.equal(docker.name('a'), 'pending')
  await docker.source.settled()
  assert.equal(docker.name('a'), 'late')
  assert.equal(questions(server.asked).length, 2)
})

test('other runtimes’ containers are not asked about, ambiguous ones are', async (t) => {
  const server = await dockerServer(t)
  const docker = ours(t, server)
  await docker.source.settled()
  assert.equal(docker.ask('a', { runtime: 'podman' }).state, 'unknown')
  assert.equal(docker.ask('b', { runtime: 'containerd', ambiguous: true }).state, 'pending')
  await docker.source.settled()
  assert.equal(questions(server.asked).length, 1)
})

test('questions that hang end at their deadlines, eight at a time, and stopping does not wait for them', async (t) => {
  const server = await dockerServer(t)
  const docker = ours(t, server, { timeoutMs: 400 })
  await docker.source.settled()
  server.script.inspect = hang
  const digits = [...'0123456789abcdef', ...'ghijklmnopqrst']
  const startMs = performance.now()
  for (const digit of digits) docker.name(digit)
  await docker.source.settled()
  const tookMs = performance.now() - startMs
  // Thirty questions are four rounds. A deadline begins when its question is put: who waits for a turn loses nothing.
  assert.ok(tookMs > 4 * 400 - 100, `eight at a time, not more: ${tookMs} ms`)
  assert.ok(tookMs < 10 * 400, `not one after another: ${tookMs} ms`)
  for (const digit of digits) assert.equal(docker.name(digit), 'unknown')
  assert.equal(questions(server.asked).length, digits.length, 'each once')
  const slow = ours(t, server, { timeoutMs: 60_000 })
  await slow.source.settled()
  slow.name('a')
  const stopMs = performance.now()
  await slow.source.stop()
  assert.ok(performance.now() - stopMs < 1000)
})

const mistakes: Readonly<Record<string, Answer>> = {
  hangs: hang,
  'talks garbage': (response) => void response.end('<html>no'),
  'refuses the list': json({ message: 'no' }, 403),
  'gives half a list': (response) => {
    response.writeHead(200, { 'Content-Length': '1000' }).write('[{"Id":')
    setTimeout(() => response.destroy(), 50)
  },
}
for (const [what, list] of Object.entries(mistakes)) {
  test(`an engine that ${what} holds nobody up, is complained of once, and is tried again`, async (t) => {
    const server = await dockerServer(t)
    server.script.list = list
    const docker = ours(t, server, { timeoutMs: 300 })
    const startMs = performance.now()
    await docker.source.settled()
    assert.ok(performance.now() - startMs < 2000)
    assert.equal(docker.name('a'), 'unknown')
    await until('it is tried again', () => server.asked.filter((url) => url.startsWith('/events')).length >= 3)
    assert.equal(docker.said(/does not answer/).length, 1)
    server.script.list = json([container('a', 'web')])
    await until('it is known', () => docker.name('a') === 'web')
    await until('what failed is not left open', () => server.streams.length === 1)
  })
}

test('garbage among the events is passed over', async (t) => {
  const server = await dockerServer(t)
  const docker = ours(t, server)
  await docker.source.settled()
  const line = event('a', 'create', 'web')
  server.tell(`{"half\n\n\0\n[]\n${event('b', 'create', 'x').slice(0, 40)}\n${line.slice(0, 30)}`)
  await sleep(30)
  server.tell(line.slice(30))
  await until('the whole one counts', () => docker.name('a') === 'web')
  assert.deepEqual(docker.said(/went away/), [])
})

test('an engine that is killed and comes back: names stay, events go on where they ended, then the list', async (t) => {
  const server = await dockerServer(t)
  server.script.list = json([container('a', 'web')])
  const docker = ours(t, server)
  await docker.source.settled()
  server.tell(event('b', 'create', 'db'))
  await until('it is known', () => docker.name('b') === 'db')
  await server.kill()
  await until('it is missed', () => docker.said(/went away/).length === 1)
  assert.deepEqual([docker.name('a'), docker.name('b')], ['web', 'db'])
  assert.equal(docker.name('c'), 'unknown', 'nobody is there to be asked')
  server.asked.length = 0
  server.script.events = (response) => void response.write(event('d', 'create', 'meanwhile'))
  server.script.list = json([container('a', 'web'), container('c', 'new')])
  await server.listen()
  await until('the new one is known', () => docker.name('c') === 'new')
  assert.equal(docker.name('d'), 'meanwhile', 'gone before the list was made')
  const since = Number(/since=([\d.]+)/.exec(server.asked[0] ?? '')?.[1])
  assert.ok(Math.abs(since * 1000 - Date.now()) < 60_000, server.asked[0])
  assert.equal(docker.said(/went away/).length, 1)
})

test('an engine whose stream ends at once is not asked without pause, nor told of without end', async (t) => {
  const server = await dockerServer(t)
  server.script.events = (response) => void setTimeout(() => response.end(), 20)
  const docker = ours(t, server)
  await docker.source.settled()
  await sleep(3000)
  const attempts = server.asked.filter((url) => url.startsWith('/events')).length
  assert.ok(attempts >= 3 && attempts <= 9, `${attempts} attempts in 3 s`)
  assert.ok(docker.said(/went away/).length < 3)
})

test('Nomad’s names are in the environment, which is asked for once, and nothing else of it is kept', async (t) => {
  const server = await dockerServer(t)
  const Labels = { 'com.hashicorp.nomad.alloc_id': 'e2f1' }
  server.script.list = json([container('a', 'nginx-e2f1', { Labels })])
  const Env = ['PASSWORD=secret', 'NOMAD_TASK_NAME=nginx', 'NOMAD_EMPTY=', 'NOMAD_META_X=a=b\nc']
  server.script.inspect = json(inspected('nginx-e2f1', { Labels, Env }))
  const docker = ours(t, server)
  await docker.source.settled()
  assert.equal(docker.name('a'), 'pending')
  await docker.source.settled()
  const answer = docker.ask('a')
  assert.deepEqual(answer.state === 'known' && answer.info.env, {
    NOMAD_TASK_NAME: 'nginx',
    NOMAD_EMPTY: '',
    NOMAD_META_X: 'a=b\nc',
  })
  server.script.inspect = missing
  server.tell(event('a', 'rename', 'other', Labels))
  await until('its new name', () => docker.name('a') === 'other')
  const again = docker.ask('a')
  assert.equal(again.state === 'known' && again.info.env.NOMAD_TASK_NAME, 'nginx')
})
