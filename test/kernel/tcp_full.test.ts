// More than there is room for: the kernel's table of sockets and the ring of records. Nothing is lost but what the
// receiver's own telemetry says, and that is made up for.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { startAgent } from '../agent.ts'
import type { Page } from '../exposition.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer, inside, type Namespace, translate } from './network.ts'
import { type Collected, connections, keeping, killed, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf', 'netfilter')

/** A client whose own namespace sends what it dials at 10.96.0.1 to a server. */
async function translating(t: TestContext): Promise<Namespace> {
  const { client, server } = clientRouterServer(t)
  await keeping(server, 'listen', '0.0.0.0', 8080)
  await inside(client, client.start('sleep', '600'))
  client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535')
  translate(client, 'OUTPUT', '10.96.0.1', '10.77.2.2:8080')
  return client
}

test('seventy thousand sockets, for which there is no room, are all counted in the end', needs, async (t) => {
  const { client, server } = clientRouterServer(t)
  client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535')
  const places = ['10.77.2.2', '10.77.2.3'].flatMap((address) => [7000, 7001].map((port) => [address, port] as const))
  for (const [address, port] of places) await keeping(server, 'listen', address, port)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const held = await Promise.all(places.map(([address, port]) => keeping(client, 'hold', address, port, 9000, 10)))
  assert.equal(Number(client.run('sh', '-c', 'ss -tnH state established | wc -l')), 36_000)
  await receiver.collect()
  assert.ok(((await receiver.losses()).no_room_for_socket ?? 0) >= 12_000)
  // Where some have gone there is room for those that had none.
  await Promise.all(held.slice(0, 2).map(({ child }) => killed(child)))
  const numbers = ({ sum }: Collected) =>
    ['active_connections', 'inbound.active_connections', 'successful_connects', 'inbound.accepts'].map((name) =>
      sum(name),
    )
  const isHalf = [18_000, 18_000, 36_000, 36_000]
  const half = await receiver.collectUntil((seen) => isDeepStrictEqual(numbers(seen), isHalf))
  assert.deepEqual(numbers(half), isHalf)
  await Promise.all(held.slice(2).map(({ child }) => killed(child)))
  const isOver = [0, 0, 36_000, 36_000]
  const end = await receiver.collectUntil((seen) => isDeepStrictEqual(numbers(seen), isOver))
  assert.deepEqual(numbers(end), isOver)
  assert.deepEqual([end.sum('bytes_sent'), end.sum('inbound.bytes_received')], [360_000, 360_000])
})

test(
  'what a stopped agent cannot be told is counted all the same, without who answered, and said',
  needs,
  async (t) => {
    const client = await translating(t)
    const agent = await startAgent(t, { receivers: { tcp_connections: {} }, processors: { nat_resolution: {} } })
    const sum = (page: Page, metric: string, labels: Record<string, string> = {}) =>
      page
        .all(`container_net_tcp_${metric}`, { destination: '10.96.0.1:80', ...labels })
        .reduce((sum, { value }) => sum + value, 0)
    await connections(client, 'storm', '10.96.0.1', 80, 10, 0, 'fin')
    await until('it is known who answers', async () => {
      const known = { actual_destination: '10.77.2.2:8080' }
      return sum(await agent.scrape(), 'successful_connects_total', known) === 10
    })
    process.kill(agent.pid, 'SIGSTOP')
    const stormed = connections(client, 'storm', '10.96.0.1', 80, 20_000, 0, 'rst', 10)
    const [established = 0, , sent = 0] = await stormed.finally(() => process.kill(agent.pid, 'SIGCONT'))
    assert.equal(established, 20_000)
    const isOver = (page: Page) => sum(page, 'active_connections') === 0 && sum(page, 'bytes_sent_total') >= sent
    const page = await until('it has caught up', async () => {
      const seen = await agent.scrape()
      return isOver(seen) ? seen : undefined
    })
    assert.equal(sum(page, 'successful_connects_total'), established + 10)
    assert.equal(sum(page, 'bytes_sent_total'), sent)
    const losses = (cause: string) => page.value('otelcol_receiver_tcp_losses_total', { cause }) ?? 0
    assert.ok(losses('ring_full') > 1000, `${losses('ring_full')} records found no room`)
    const known = sum(page, 'successful_connects_total', { actual_destination: '10.77.2.2:8080' })
    assert.ok(known > 1000, `${known} with who answered`)
    // The last one whose opening had room was there when it closed.
    const ends = losses('ring_full') + losses('unresolved') - (established + 10 - known)
    assert.ok(ends === 0 || ends === 1, `${ends} ends found no room`)
  },
)

test(
  'when new translations found no room, it is said, and what was taken for direct is asked about again',
  needs,
  async (t) => {
    const client = await translating(t)
    // A namespace that the host's has a number for is heard, as if a veth pair joined them.
    execFileSync('ip', ['netns', 'set', client.name, 'auto'])
    const agent = await startAgent(t, { receivers: { tcp_connections: {} }, processors: { nat_resolution: {} } })
    const connects = (page: Page, actual: string) =>
      page
        .all('container_net_tcp_successful_connects_total', {
          destination: '10.77.2.2:8080',
          actual_destination: `${actual}:8080`,
        })
        .reduce((sum, { value }) => sum + value, 0)
    const notHeard = (page: Page) =>
      page.value('otelcol_receiver_tcp_losses_total', { cause: 'translations_not_heard' }) ?? 0
    const dial = (address: string, count: number) => connections(client, 'storm', address, 8080, count, 0, 'rst')
    await dial('10.77.2.2', 10)
    await until('it answers itself', async () => connects(await agent.scrape(), '10.77.2.2') === 10)
    assert.equal(notHeard(await agent.scrape()), 0)

    process.kill(agent.pid, 'SIGSTOP')
    try {
      await dial('10.96.0.1', 25_000)
      translate(client, 'OUTPUT', '10.77.2.2', '10.77.2.3')
      await dial('10.77.2.2', 1)
    } finally {
      process.kill(agent.pid, 'SIGCONT')
    }
    await until('it is said', async () => notHeard(await agent.scrape()) > 0)
    await dial('10.77.2.2', 50)
    const page = await until('the new server is known', async () => {
      const seen = await agent.scrape()
      return connects(seen, '10.77.2.2') + connects(seen, '10.77.2.3') === 61 ? seen : undefined
    })
    assert.equal(connects(page, '10.77.2.3'), 50)
    t.diagnostic(`${notHeard(page)} of 25 001 translations were not heard`)
  },
)
