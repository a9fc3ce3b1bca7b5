// Flows: one for each destination of a control group, no more than may be, and an end to those that are idle.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cgroup } from '../../../receivers/host/host.ts'
import { withPort } from '../../../receivers/tcp_connections/filter.ts'
import { createFlows } from '../../../receivers/tcp_connections/flows.ts'
import { behindProxy } from '../../../receivers/tcp_connections/listens.ts'

const cgroup: Cgroup = { kind: 'cgroup', id: 7, path: '/docker/a', bornMs: 1, endedMs: undefined }
const options = { maxPerCgroup: 2, forgetAfterMs: 1000, filter: withPort, hostNetns: 1 }
const asked = (address: string, netns = 1) => ({ cgroup, netns, incoming: false, address, port: 80 })

test('the same destination is the same flow, another answer is another', () => {
  const flows = createFlows({ ...options, maxPerCgroup: 10 })
  const direct = flows.of({ ...asked('10.0.0.1'), actual: { address: '10.0.0.1', port: 80 } })
  assert.equal(flows.of({ ...asked('10.0.0.1'), actual: { address: '10.0.0.1', port: 80 } }), direct)
  const translated = flows.of({ ...asked('10.0.0.1'), actual: { address: '10.0.0.9', port: 8080 } })
  assert.notEqual(translated, direct)
  assert.deepEqual([direct.attributes, translated.actualDestination], [{ destination: '10.0.0.1:80' }, '10.0.0.9:8080'])
  assert.equal(flows.of(asked('10.0.0.1')).actualDestination, undefined)
})

test('loopback is another machine in each namespace', () => {
  const flows = createFlows({ ...options, maxPerCgroup: 10 })
  assert.deepEqual(flows.of(asked('127.0.0.1', 1)).attributes, { destination: '127.0.0.1:80' })
  assert.deepEqual(flows.of(asked('127.0.0.1', 5)).attributes, { destination: '127.0.0.1:80', netns: '5' })
})

test('what is one too many is one flow, and is counted', () => {
  const flows = createFlows(options)
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']) flows.of(asked(address))
  assert.deepEqual(
    [...flows.all()].map(({ attributes }) => attributes.destination),
    ['10.0.0.1:80', '10.0.0.2:80', 'other'],
  )
  assert.equal(flows.folded, 2)
})

test('an idle flow ends, and makes room; one with open connections does not', () => {
  const flows = createFlows(options)
  const [idle, open] = [flows.of(asked('10.0.0.1')), flows.of(asked('10.0.0.2'))]
  open.active = 1
  flows.forget(performance.now() + 500)
  assert.equal(flows.size, 2)
  flows.forget(performance.now() + 1500)
  assert.deepEqual([flows.size, typeof idle.endedMs, open.endedMs], [1, 'number', undefined])
  assert.equal(flows.of(asked('10.0.0.3')).attributes.destination, '10.0.0.3:80')
})

test('where a published port leads is on the command line of its proxy', () => {
  const line = (...words: string[]) => `${words.join('\0')}\0`
  const proxy = ['/usr/bin/docker-proxy', '-proto', 'tcp', '-host-ip', '0.0.0.0', '-host-port', '8080']
  assert.equal(behindProxy(line(...proxy, '-container-ip', '172.17.0.2', '-container-port', '80')), '172.17.0.2:80')
  assert.equal(behindProxy(line(...proxy, '-container-ip', 'fd00::2', '-container-port', '80')), '[fd00::2]:80')
  for (const other of [line('nginx'), line(...proxy), '', undefined]) assert.equal(behindProxy(other), undefined)
})
