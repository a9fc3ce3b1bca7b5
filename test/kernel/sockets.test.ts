// TCP sockets as sock_diag tells of them, against `ss`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointText } from '../../receivers/host/address.ts'
import { TCP } from '../../receivers/host/sockets.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { dial, serve } from './dialling.ts'
import { clientRouterServer, makeNamespace, type Namespace } from './network.ts'
import { socketsIn } from './socket_listing.ts'

const needs = requires('root', 'addon', 'netfilter')

/** Lines of `ss` without its header. */
const ss = ({ run }: Namespace, ...args: string[]) =>
  run('ss', '-HOtn', ...args)
    .trimEnd()
    .split('\n')

test(
  'connections of both families, their bytes, round-trip times, inode and cgroup are those of ss',
  needs,
  async (t) => {
    const { client, server } = clientRouterServer(t)
    await serve(server, 8080)
    await dial(
      client,
      { to: '10.77.2.2', port: 8080 },
      { to: 'fd77:2::2', port: 8080 },
      { to: '10.77.2.3', port: 8080 },
    )
    for (const namespace of [client, server]) {
      // Until the last acknowledgement is there.
      const sockets = await until('ss and we see the same', async () => {
        const told = ss(namespace, '-iem', 'state', 'established')
        const found = await socketsIn(namespace, [TCP.ESTABLISHED], true)
        assert.equal(found.length, 3)
        for (const socket of found) {
          const line = told.find((one) => one.includes(`ino:${socket.inode} `)) ?? ''
          const number = (key: string) => Number(new RegExp(`\\b${key}:([\\d.]+)`).exec(line)?.[1] ?? 0)
          const ends = [
            endpointText(socket.source, socket.sourcePort),
            endpointText(socket.destination, socket.destinationPort),
          ]
          assert.deepEqual(
            line
              .replaceAll('[::ffff:', '')
              .replaceAll(/(\.\d+)\]/g, '$1')
              .split(/\s+/)
              .slice(2, 4),
            ends,
          )
          assert.equal(socket.info?.sentBytes, number('bytes_sent') - number('bytes_retrans'))
          assert.equal(socket.info?.receivedBytes, number('bytes_received'))
          // ss prints six digits.
          assert.equal(Number(((socket.info?.rttUs ?? 0) / 1000).toPrecision(6)), number('rtt'))
          assert.equal(Number(((socket.info?.minRttUs ?? 0) / 1000).toPrecision(6)), number('minrtt'))
          assert.ok(socket.cgroup !== undefined && socket.cgroup > 0)
          assert.equal(socket.dialled, namespace === client)
          assert.equal(socket.cookie, Number.parseInt(/\bsk:([0-9a-f]+)/.exec(line)?.[1] ?? '', 16))
        }
        return found
      })
      assert.ok(sockets.some(({ source }) => source.length === 16) && sockets.some(({ source }) => source.length === 4))
    }
  },
)

test(
  'a listener has its queue, its limit and whether it takes IPv4; connections wait in it until they are accepted',
  needs,
  async (t) => {
    const namespace = makeNamespace(t)
    const script = `
    use Socket qw(:all);
    $| = 1;
    sub listener {
      my ($family, $address, $port, $backlog, $only) = @_;
      socket(my $socket, $family, SOCK_STREAM, 0) or die;
      setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, pack('i', $only)) if $family == AF_INET6;
      my $at = inet_pton($family, $address);
      bind($socket, $family == AF_INET6 ? pack_sockaddr_in6($port, $at) : pack_sockaddr_in($port, $at)) or die;
      listen($socket, $backlog) or die;
      return $socket;
    }
    my @listeners = (listener(AF_INET6, '::', 7001, 7, 0), listener(AF_INET6, '::', 7002, 3, 1));
    push @listeners, listener(AF_INET, '127.0.0.1', 7003, 5);
    my @waiting = map {
      socket(my $socket, AF_INET, SOCK_STREAM, 0) or die;
      connect($socket, pack_sockaddr_in(7003, inet_aton('127.0.0.1'))) or die;
      $socket
    } 1 .. 4;
    print "ready\n";
    sleep 600`
    const child = namespace.start('perl', '-e', script)
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    const listeners = await socketsIn(namespace, [TCP.LISTEN])
    assert.deepEqual(
      listeners
        .map((one) => [endpointText(one.source, one.sourcePort), one.receiveQueue, one.sendQueue, one.v6only])
        .toSorted((a, b) => String(a[0]).localeCompare(String(b[0]))),
      [
        ['[::]:7001', 0, 7, false],
        ['[::]:7002', 0, 3, true],
        ['127.0.0.1:7003', 4, 5, false],
      ],
    )
    const told = ss(namespace, '-l').map((line) => line.split(/\s+/).slice(1, 4))
    for (const { source, sourcePort, receiveQueue, sendQueue } of listeners) {
      const address = endpointText(source, sourcePort).replace('[::]', sourcePort === 7001 ? '*' : '[::]')
      assert.ok(
        told.some((line) => line.join(' ') === `${receiveQueue} ${sendQueue} ${address}`),
        `${address} in ${told}`,
      )
    }
    const waiting = (await socketsIn(namespace, [TCP.ESTABLISHED])).filter(({ sourcePort }) => sourcePort === 7003)
    assert.deepEqual(
      waiting.map(({ inode }) => inode),
      [0, 0, 0, 0],
      'in no file yet',
    )
  },
)

test('only the states that were asked for, and each namespace its own', needs, async (t) => {
  const { client, router, server } = clientRouterServer(t)
  await serve(server, 8080)
  await dial(client, { to: '10.77.2.2', port: 8080 }, { to: '10.77.2.2', port: 8080, end: 'fin' })
  const states = async (namespace: Namespace, ...asked: number[]) =>
    (await socketsIn(namespace, asked)).map(({ state }) => state).toSorted((a, b) => a - b)
  assert.deepEqual(await states(client, TCP.ESTABLISHED, TCP.LISTEN), [TCP.ESTABLISHED])
  assert.deepEqual(await states(server, TCP.ESTABLISHED, TCP.LISTEN), [TCP.ESTABLISHED, TCP.LISTEN])
  assert.deepEqual(await states(client, TCP.TIME_WAIT), [TCP.TIME_WAIT])
  assert.deepEqual(await states(router, ...Object.values(TCP)), [])
})
