import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostResource } from '../../processors/host_resource.ts'

const identity = { machineId: 'b7fd', systemUuid: '4c4c', hostname: 'box', kernelVersion: '6.18.5', arch: 'aarch64' }

test('the machine is described in the words of the semantic conventions', () => {
  assert.deepEqual(hostResource(identity).attributes, {
    'host.name': 'box',
    'host.id': 'b7fd',
    'host.arch': 'arm64',
    'os.type': 'linux',
    'os.version': '6.18.5',
  })
  assert.equal(hostResource(identity), hostResource(identity))
})

test('what the machine does not tell is absent, and its firmware stands in for a missing machine id', () => {
  const silent = { ...identity, machineId: '', kernelVersion: '' }
  assert.deepEqual(hostResource(silent).attributes, {
    'host.name': 'box',
    'host.id': '4c4c',
    'host.arch': 'arm64',
    'os.type': 'linux',
  })
  assert.ok(!('host.id' in hostResource({ ...silent, systemUuid: '' }).attributes))
})
