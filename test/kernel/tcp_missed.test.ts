// The kernel does not tell our programs of everything: they are passed over in the middle of themselves. What they
// missed is made up for, so the sums are those of the kernel's own counters (nstat) all the same.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
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
  const { child } = await keeping(server, 'listen', '0.0.0.0', 7000)
  const held = () => readdirSync(`/proc/${child.pid}/fd`).length
  const heldBefore = held()
  const receiver = await startReceiver(t, { inside: [client, server] })
  const storms = await Promise.all(
    ['fin', 'rst', 'fin', 'rst'].map((how) => connections(client, 'storm', '10.77.2.2', 7000, COUNT, 0, how, 10)),
  )
  const sum = (place: number) => storms.reduce((sum, storm) => sum + (storm[place] ?? 0), 0)
  const [established, refused, sent] = [sum(0), sum(1), sum(2)]
  // What was opened and reset unseen is counted when the server closes it, which may be late on a busy machine.
  await until('the server has closed all', () => /^LISTEN +0 /.test(server.run('ss', '-Hltn')) && held() === heldBefore)
  const now = await receiver.collectUntil(
    (seen) => seen.sum('active_connections') === 0 && seen.sum('inbound.active_connections') === 0,
  )
  // Reset and dialled again from the same port at once: a server whose other CPU is still at the first handshake
  // refuses (tcp_check_req in net/ipv4/tcp_minisocks.c). A SYN was sent, so it is one of the active opens all the same.
  assert.equal(refused, counterOf(client, 'TcpAttemptFails'))
  assert.equal(established + refused, counterOf(client, 'TcpActiveOpens'))
  assert.equal(now.sum('successful_connects'), established)
  assert.equal(now.sum('failed_connects'), refused)
  assert.equal(now.sum('bytes_sent'), sent)
  assert.equal(now.sum('active_connections'), 0)
  // Those that failed before they were open may be among the passive opens, and may not; nor does the kernel take back
  // the one that it made for somebody whom it refused then (inet_csk_complete_hashdance in inet_connection_sock.c).
  const [opens, fails] = [counterOf(server, 'TcpPassiveOpens'), counterOf(server, 'TcpAttemptFails')]
  const accepts = now.sum('inbound.accepts')
  const numbers = `${accepts} accepts, ${opens} opens, ${fails} of them failed, ${refused} refused`
  assert.ok(accepts <= opens && accepts >= opens - fails - refused, numbers)
  assert.equal(now.sum('inbound.active_connections'), 0)
  assert.equal(now.sum('resets', { direction: 'received' }), counterOf(server, 'TcpEstabResets'))
})
