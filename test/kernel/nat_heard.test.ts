// Translations that are heard of as they are made: which are, of whom, and for how long it is remembered.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointText } from '../../receivers/host/address.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { dial, serve } from './dialling.ts'
import { followed, resolved, said } from './following.ts'
import { clientRouterServer, translate } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

test(
  'new translations are heard of, in the host and in a namespace that is joined to it, and direct ones are not',
  needs,
  async (t) => {
    const { client, router, server } = clientRouterServer(t)
    translate(client, 'OUTPUT', '10.50.0.1', '10.77.2.2:8080')
    translate(router, 'PREROUTING', '10.96.0.1', '10.77.2.3:8080')
    await serve(server, 8080)
    const { nat } = await followed(t, router, client)
    assert.equal(nat.hears, 'all')
    const dialled = await dial(
      client,
      { to: '10.96.0.1', port: 80 },
      { to: '10.50.0.1', port: 80 },
      { to: '10.77.2.2', port: 8080 },
    )
    const { translations, lost } = nat.heard()
    assert.equal(lost, false)
    const heard = translations.map(({ netns, original, actual }) => [
      netns === router.inode ? 'router' : netns === client.inode ? 'client' : netns,
      endpointText(original.source, original.sourcePort),
      endpointText(original.destination, original.destinationPort),
      endpointText(actual.address, actual.port),
    ])
    const port = (i: number) => dialled[i]?.tuple.sourcePort
    assert.deepEqual(heard.toSorted(), [
      ['client', `10.77.1.2:${port(1)}`, '10.50.0.1:80', '10.77.2.2:8080'],
      ['router', `10.77.1.2:${port(0)}`, '10.96.0.1:80', '10.77.2.3:8080'],
    ])
    assert.deepEqual(nat.heard(), { translations: [], lost: false })
  },
)

test('a namespace that tracked nothing is followed as soon as it does', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const before = await dial(client, { to: '10.77.2.2', port: 8080 })
  assert.deepEqual(resolved(nat, client.inode, before), ['untracked'])
  const asked = nat.counts().asked
  assert.deepEqual(resolved(nat, client.inode, before), ['untracked'])
  assert.equal(nat.counts().asked, asked + 1, 'only the host is asked again')
  translate(client, 'OUTPUT', '10.77.2.2', '10.77.2.3')
  const after = await dial(client, { to: '10.77.2.2', port: 8080 })
  assert.deepEqual(resolved(nat, client.inode, [...before, ...after]), ['untracked', '10.77.2.3:8080'])
})

test('what was heard and nobody asks about is forgotten', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  translate(router, 'PREROUTING', '10.96.0.1', '10.77.2.3')
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  await dial(
    client,
    ...Array.from({ length: 300 }, (_, i) => ({
      to: '10.96.0.1',
      port: 8080,
      localPort: 43_000 + i,
      end: 'rst' as const,
    })),
  )
  await until('all are heard of', () => {
    nat.heard()
    return nat.counts().remembered === 300
  })
  await until('all are forgotten', () => {
    nat.heard()
    return nat.counts().remembered === 0
  })
})

test('a connection that was forgotten long ago is answered by what was heard of it', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  translate(router, 'PREROUTING', '10.96.0.1', '10.77.2.3:8080')
  await serve(server, 8080)
  const { nat } = await followed(t, router, client)
  const [dialled] = await dial(client, { to: '10.96.0.1', port: 80, end: 'rst' })
  assert.ok(dialled)
  router.run('conntrack', '-D', '-p', 'tcp')
  assert.deepEqual(resolved(nat, client.inode, [dialled]), ['untracked'])
  const connection = { ...dialled.tuple, netns: client.inode, dialledNs: dialled.dialledNs }
  assert.deepEqual(nat.resolve([connection]).map(said), ['10.77.2.3:8080'])
  const later = { ...connection, dialledNs: Number(process.hrtime.bigint()) }
  assert.deepEqual(nat.resolve([later]).map(said), ['untracked'], 'not for another one of the same tuple')
})
