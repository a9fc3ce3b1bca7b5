// Addresses of network namespaces, against `ip address`, while they change.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { addressText } from '../../receivers/host/address.ts'
import { type Addresses, watchAddresses } from '../../receivers/host/addresses.ts'
import type { Namespaces } from '../../receivers/host/namespaces.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { inside, join, makeNamespace, type Namespace, startQuietHost } from './network.ts'

const needs = requires('root', 'addon', 'netfilter')

/** With `host` as the host's namespace. */
async function watched(t: TestContext, host: Namespace, ...others: Namespace[]): Promise<Addresses> {
  const { namespaces: known } = await startQuietHost(t)
  for (const namespace of [host, ...others])
    known.seen(namespace.inode, await inside(namespace, namespace.start('sleep', '600')))
  const namespaces: Namespaces = { ...known, initial: host.inode }
  const addresses = watchAddresses(namespaces)
  atEnd(t, () => addresses.close())
  return addresses
}

type Device = { ifindex: number; addr_info: { local: string; prefixlen: number; scope: string }[] }

function byIp({ run }: Namespace): string[] {
  return (JSON.parse(run('ip', '-json', 'address')) as Device[])
    .flatMap(({ ifindex, addr_info }) =>
      addr_info.map(({ local, prefixlen, scope }) => `${ifindex} ${local}/${prefixlen} ${scope}`),
    )
    .toSorted()
}

const byUs = (addresses: Addresses, { inode }: Namespace): string[] =>
  (addresses.of(inode) ?? [])
    .map(({ device, address, prefixLength, scope }) => `${device} ${addressText(address)}/${prefixLength} ${scope}`)
    .toSorted()

test('all addresses of a namespace, of both families, with device, prefix and scope', needs, async (t) => {
  const [host, container] = [makeNamespace(t), makeNamespace(t)]
  join(host, ['10.1.0.1/24', 'fd01::1/64'], container, ['10.1.0.2/24', '10.1.0.3/24', 'fd01:0:0:1::2/64'])
  const addresses = await watched(t, host, container)
  for (const namespace of [host, container]) {
    assert.deepEqual(byUs(addresses, namespace), byIp(namespace))
    assert.ok(byIp(namespace).length >= 5)
  }
})

test('the same array while nothing changes, and the new addresses as soon as something does', needs, async (t) => {
  const [host, container, alone] = [makeNamespace(t), makeNamespace(t), makeNamespace(t)]
  join(host, ['10.1.0.1/24'], container, ['10.1.0.2/24'])
  const addresses = await watched(t, host, container, alone)
  // The link-local address comes a moment later than the device.
  for (const { inode } of [host, container])
    await until('it is complete', () => addresses.of(inode)?.some(({ scope, usable }) => scope === 'link' && usable))
  for (const namespace of [host, container]) {
    const before = addresses.of(namespace.inode)
    assert.equal(addresses.of(namespace.inode), before)
    namespace.run('ip', 'address', 'add', '10.9.9.9/32', 'dev', 'lo')
    assert.deepEqual(byUs(addresses, namespace), byIp(namespace))
    assert.ok(byIp(namespace).some((line) => line.includes('10.9.9.9/32')))
    namespace.run('ip', 'address', 'delete', '10.9.9.9/32', 'dev', 'lo')
    assert.deepEqual(byUs(addresses, namespace), byIp(namespace))
  }
  assert.deepEqual(byUs(addresses, alone), ['1 127.0.0.1/8 host', '1 ::1/128 host'])
})

test('an address that is still looked for twins of is not usable yet', needs, async (t) => {
  const [host, container] = [makeNamespace(t), makeNamespace(t)]
  join(host, ['10.1.0.1/24'], container, ['10.1.0.2/24'])
  const device = /\d+: (veth\w+)@/.exec(container.run('ip', '-o', 'link'))?.[1] ?? ''
  const addresses = await watched(t, host, container)
  const added = () => addresses.of(container.inode)?.find(({ address }) => addressText(address) === 'fd02::2')
  container.run('ip', 'address', 'add', 'fd02::2/64', 'dev', device)
  assert.equal(added()?.usable, false)
  await until('it is usable', () => added()?.usable)
})

test('a namespace that is gone has no addresses', needs, async (t) => {
  const host = makeNamespace(t)
  const addresses = await watched(t, host)
  assert.equal(addresses.of(1), undefined)
})
