// Ports that Docker publishes, as its list has them: asked for only where somebody wants to know, and only when it may
// have changed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../until.ts'
import { container, dockerServer, event, hang, id, json, missing, ours } from './docker_server.ts'

const lists = (asked: readonly string[]) => asked.filter((url) => url.startsWith('/containers/json')).length
const port = (PublicPort: number, IP = '0.0.0.0', Type = 'tcp') => ({ IP, PrivatePort: 80, PublicPort, Type })

test('ports are those of the list: of TCP, and published', async (t) => {
  const server = await dockerServer(t)
  const Ports = [
    port(8080),
    port(8080, '::'),
    port(53, '0.0.0.0', 'udp'),
    { PrivatePort: 443, Type: 'tcp' },
    port(81, ''),
  ]
  server.script.list = json([
    container('a', 'web', { Ports }),
    container('b', 'db', { Ports: null }),
    container('c', 'x'),
  ])
  const { source } = ours(t, server)
  await source.settled()
  const first = { id: id('a'), port: 8080 }
  assert.deepEqual(source.published(), [
    { ...first, address: '0.0.0.0' },
    { ...first, address: '::' },
    { ...first, address: '0.0.0.0', port: 81 },
  ])
})

test('after a start the list is asked for once, by whoever wants to know', async (t) => {
  const server = await dockerServer(t)
  const { source, changed } = ours(t, server)
  await source.settled()
  const start = async (name: string) => {
    server.tell(event('a', 'start', name))
    await until('the event is seen', () => changed.length > 0)
    changed.length = 0
  }
  await start('web')
  await source.settled()
  assert.equal(lists(server.asked), 1, 'nobody has asked for ports')
  assert.deepEqual(source.published(), [])
  server.script.list = json([container('a', 'web', { Ports: [port(8080)] })])
  await Promise.all([source.settled(), source.settled()])
  assert.deepEqual(source.published(), [{ id: id('a'), address: '0.0.0.0', port: 8080 }])
  await source.settled()
  assert.equal(lists(server.asked), 2)
  // A name that has changed changes no port.
  server.tell(event('a', 'rename', 'shop', { oldName: '/web' }))
  await until('the event is seen', () => changed.length > 0)
  await source.settled()
  assert.equal(lists(server.asked), 2)
})

test('when the list does not come, what is known stays, and it is asked for again', async (t) => {
  const server = await dockerServer(t)
  server.script.list = json([container('a', 'web', { Ports: [port(8080)] })])
  const { source, changed } = ours(t, server, { timeoutMs: 200 })
  await source.settled()
  const before = source.published()
  assert.equal(before.length, 1)
  for (const [i, answer] of [missing, hang].entries()) {
    server.script.list = answer
    server.tell(event(i === 0 ? 'b' : 'c', 'start', 'new'))
    await until('the event is seen', () => changed.includes(id(i === 0 ? 'b' : 'c')))
    await source.settled()
    assert.deepEqual(source.published(), before)
  }
  server.script.list = json([container('b', 'new', { Ports: [port(9090)] })])
  await source.settled()
  assert.deepEqual(source.published(), [{ id: id('b'), address: '0.0.0.0', port: 9090 }])
})

test('a start while the list is made is asked about again', async (t) => {
  const server = await dockerServer(t)
  const { source, changed } = ours(t, server)
  await source.settled()
  source.published()
  server.tell(event('a', 'start', 'web'))
  await until('the event is seen', () => changed.includes(id('a')))
  server.script.list = (response, request) => {
    server.tell(event('b', 'start', 'db'))
    void until('that is seen as well', () => changed.includes(id('b'))).then(() =>
      json([container('a', 'web', { Ports: [port(8080)] })])(response, request),
    )
  }
  await source.settled()
  assert.deepEqual(
    source.published().map(({ port }) => port),
    [8080],
  )
  server.script.list = json([container('b', 'db', { Ports: [port(9090)] })])
  await source.settled()
  assert.deepEqual(
    source.published().map(({ port }) => port),
    [9090],
  )
})
