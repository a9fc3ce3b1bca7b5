// The kernel does not tell our programs of everything: they are passed over in the middle of themselves. What they
// missed is made up for, so the sums are those of the kernel's own counters (nstat) all the same.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { clientRouterServer, type Namespace } from './network.ts'
import { connections, keeping, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf')
const COUNT = 8000

const counterOf = ({ run }: Namespace, name: string) =>
  Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(run('nstat', '-asz', name))?.[1])

test('storms in softirqs of both CPUs are counted exactly, though many events go unseen', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  for (const { run } of [client, router, server]) {
    run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1')
    // Packets are handled by another CPU than the one that sends them, which is interrupted for it.
    run('sh', '-c', 'for cpus in /sys/class/net/veth*/queues/rx-*/rps_cpus; do echo 3 > $cpus; done')
  }
  await keeping(server, 'listen', '0.0.0.0', 7000)
  const receiver = await startReceiver(t, { inside: [client, server] })
  const storms = await Promise.all(
    ['fin', 'rst', 'fin', 'rst'].map((how) => connections(client, 'storm', '10.77.2.2', 7000, COUNT, 0, how, 10)),
  )
  const [established, sent] = [0, 2].map((place) => storms.reduce((sum, storm) => sum + (storm[place] ?? 0), 0))
  const now = await receiver.collectUntil(
    (seen) => seen.sum('active_connections') === 0 && seen.sum('inbound.active_connections') === 0,
  )
  assert.equal(established, counterOf(client, 'TcpActiveOpens'))
  assert.equal(now.sum('successful_connects'), established)
  assert.equal(now.sum('failed_connects'), 0)
  assert.equal(now.sum('bytes_sent'), sent)
  assert.equal(now.sum('active_connections'), 0)
  // Those that failed before they were open may be among the passive opens, and may not.
  const [opens, fails] = [counterOf(server, 'TcpPassiveOpens'), counterOf(server, 'TcpAttemptFails')]
  const accepts = now.sum('inbound.accepts')
  assert.ok(accepts <= opens && accepts >= opens - fails, `${accepts} accepts, ${opens} opens, ${fails} of them failed`)
  assert.equal(now.sum('inbound.active_connections'), 0)
  assert.equal(now.sum('resets', { direction: 'received' }), counterOf(server, 'TcpEstabResets'))
})
