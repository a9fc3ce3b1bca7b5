// A container's attributes, by the semantic conventions; texts that whoever starts a container may choose are bounded.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RuntimeInfo } from '../../../receivers/host/container_id.ts'
import { placeOf } from '../../../receivers/host/container_path.ts'
import { containerAttributes, createTexts, imageParts } from '../../../receivers/host/resource.ts'

const ID = '63425c4a8b4291744a79dd9011fddc7a1f8ffda61f65d72196aa01d00cae2e2d'
const info = (given: Partial<RuntimeInfo> = {}): RuntimeInfo => ({
  ...{ runtime: 'docker', name: 'shop', image: 'nginx:1.27', labels: {}, env: {} },
  ...given,
})
function attributes(path: string, given?: RuntimeInfo, appId = '') {
  const placed = placeOf(path)
  assert.ok(placed)
  return containerAttributes(placed, given, appId, createTexts())
}

test('a container of Docker', () => {
  assert.deepEqual(attributes(`/docker/${ID}`, info()), {
    'container.runtime.name': 'docker',
    'container.id': ID,
    'container.name': 'shop',
    'container.image.name': 'nginx',
    'container.image.tags': '1.27',
    'service.name': 'shop',
  })
  assert.deepEqual(attributes(`/docker/${ID}`), { 'container.runtime.name': 'docker', 'container.id': ID })
})

test('a container of a pod', () => {
  const labels = {
    'io.kubernetes.pod.namespace': 'default',
    'io.kubernetes.pod.name': 'web-5d4f8c7b9-x2k9f',
    'io.kubernetes.pod.uid': '6a1c',
    'io.kubernetes.container.name': 'nginx',
    'annotation.io.kubernetes.container.restartCount': '3',
  }
  const found = attributes(
    `/kubepods/pod6a1ce5cb-3a42-4d8c-9d21-0aa1b2c3d4e5/${ID}`,
    info({ labels }),
    '/k8s/default/web',
  )
  assert.equal(found['k8s.namespace.name'], 'default')
  assert.equal(found['k8s.pod.name'], 'web-5d4f8c7b9-x2k9f')
  assert.equal(found['k8s.pod.uid'], '6a1c', 'what the runtime says goes before the path')
  assert.equal(found['k8s.container.name'], 'nginx')
  assert.equal(found['k8s.container.restart_count'], '3')
  assert.equal(found['service.name'], 'web')
})

test('the service is what somebody wrote down, else the workload, the container, the unit', () => {
  const service = (labels: Record<string, string>, appId = '') =>
    attributes(`/docker/${ID}`, info({ labels }), appId)['service.name']
  assert.equal(service({ 'app.kubernetes.io/name': 'a', 'com.docker.compose.service': 'b' }, '/k8s/x/w'), 'a')
  assert.equal(service({ 'app.kubernetes.io/name': '', 'com.docker.compose.service': 'b' }), 'b')
  assert.equal(service({ 'com.docker.swarm.service.name': 'c' }), 'c')
  assert.equal(service({ 'io.kubernetes.container.name': 'k' }), 'k')
  assert.equal(attributes('/system.slice/nginx.service')['service.name'], 'nginx')
})

test('units, machines and LXC', () => {
  const nginx = { 'systemd.unit': 'nginx.service', 'service.name': 'nginx' }
  assert.deepEqual(attributes('/system.slice/nginx.service'), nginx)
  const db = { 'container.runtime.name': 'lxc', 'container.name': 'db', 'service.name': 'db' }
  assert.deepEqual(attributes('/lxc/db'), db)
})

test('an image is a name and a tag; a port is no tag, a digest is neither', () => {
  const rows: Readonly<Record<string, readonly [name: string, tag: string, id: string]>> = {
    'nginx:1.27': ['nginx', '1.27', ''],
    nginx: ['nginx', '', ''],
    'localhost:5000/shop': ['localhost:5000/shop', '', ''],
    'localhost:5000/shop:2': ['localhost:5000/shop', '2', ''],
    'a/b@sha256:0123': ['a/b', '', ''],
    'a/b:3@sha256:0123': ['a/b', '3', ''],
    'sha256:0123': ['', '', 'sha256:0123'],
    '': ['', '', ''],
    ':': ['', '', ''],
    '@': ['', '', ''],
  }
  for (const [image, [name, tag, id]] of Object.entries(rows)) assert.deepEqual(imageParts(image), { name, tag, id })
})

test('texts are valid and bounded, and what was cut is counted', () => {
  const texts = createTexts()
  for (const text of ['', 'a"b\n\\', 'größe 😀', 'x'.repeat(1024)]) assert.equal(texts.bounded(text), text)
  assert.equal(texts.bounded('a\ud800b'), 'a\ufffdb')
  assert.equal(texts.cut, 0)
  assert.equal(texts.bounded('x'.repeat(4096)), 'x'.repeat(1024))
  const cutInside = texts.bounded(`${'x'.repeat(1023)}😀`)
  assert.ok(cutInside.isWellFormed() && cutInside.length === 1024)
  assert.equal(texts.cut, 2)
})
