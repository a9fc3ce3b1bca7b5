// What a runtime says → the peer's identities, and its lists of what is none.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { appId, containerId, isSystemUnit, type RuntimeInfo } from '../../../receivers/host/container_id.ts'
import { placeOf } from '../../../receivers/host/container_path.ts'

const ID = '63425c4a8b4291744a79dd9011fddc7a1f8ffda61f65d72196aa01d00cae2e2d'
const NOW_MS = Date.UTC(2025, 10, 3)
const minutes = (days: number) => String(NOW_MS / 60_000 + days * 24 * 60)

const said = (given: Partial<RuntimeInfo>): RuntimeInfo => ({
  runtime: 'docker',
  name: 'shop',
  image: 'nginx',
  labels: {},
  env: {},
  ...given,
})
const pod = (namespace: string, name: string, container: string) =>
  said({
    labels: {
      'io.kubernetes.pod.namespace': namespace,
      'io.kubernetes.pod.name': name,
      'io.kubernetes.container.name': container,
    },
  })
const swarm = (task: string, service: string, stack?: string) =>
  said({
    labels: {
      'com.docker.swarm.task.name': task,
      'com.docker.swarm.service.name': service,
      ...(stack !== undefined && { 'com.docker.stack.namespace': stack }),
    },
  })
const nomad = {
  NOMAD_NAMESPACE: 'default',
  NOMAD_JOB_NAME: 'web',
  NOMAD_GROUP_NAME: 'front',
  NOMAD_ALLOC_ID: 'e2f1',
  NOMAD_TASK_NAME: 'nginx',
}

const idOf = (path: string, info: RuntimeInfo | undefined) => {
  const placed = placeOf(path)
  assert.ok(placed)
  return containerId(placed, info, NOW_MS)
}

describe('what a runtime says becomes the container_id', () => {
  const rows: readonly [RuntimeInfo | undefined, string | undefined][] = [
    // 4: Kubernetes
    [pod('default', 'client-pod-abc', 'server'), '/k8s/default/client-pod-abc/server'],
    [pod('default', 'client-pod-abc', 'POD'), undefined],
    [pod('default', 'client-pod-abc', ''), undefined],
    [said({ labels: { 'io.kubernetes.pod.name': 'pause' } }), undefined],
    [pod('default', `backup-${minutes(0)}-x2k9f`, 'dump'), '/k8s-cronjob/default/backup/dump'],
    [pod('default', `backup-${minutes(-6.9)}-x2k9f`, 'dump'), '/k8s-cronjob/default/backup/dump'],
    [pod('default', `backup-${minutes(6.9)}-x2k9f`, 'dump'), '/k8s-cronjob/default/backup/dump'],
    // Eight digits that are no minutes of this week: a name that somebody chose.
    [pod('default', `backup-${minutes(-7.1)}-x2k9f`, 'dump'), `/k8s/default/backup-${minutes(-7.1)}-x2k9f/dump`],
    [pod('default', 'backup-20251103-x2k9f', 'dump'), '/k8s/default/backup-20251103-x2k9f/dump'],
    [pod('default', `backup-${minutes(0)}-aeiou`, 'dump'), `/k8s/default/backup-${minutes(0)}-aeiou/dump`],
    // 5: Swarm
    [swarm('shop_api.2.k3j4h5', 'shop_api', 'shop'), '/swarm/shop/api/2'],
    [swarm('api.1.k3j4h5', 'api'), '/swarm/_/api/1'],
    [swarm('shop_api.2.k3j4h5', 'other_api', 'shop'), '/swarm/shop/other_api/2'],
    [swarm('api.1', 'api'), '/docker/shop'],
    // 6: Nomad
    [said({ env: nomad }), '/nomad/default/web/front/e2f1/nginx'],
    [said({ env: { ...nomad, NOMAD_TASK_NAME: '' } }), '/docker/shop'],
    // 7: by name, and without one by the id
    [said({}), '/docker/shop'],
    [said({ runtime: 'podman', name: 'db' }), '/podman/db'],
    [said({ name: '' }), `/docker/${ID.slice(0, 12)}`],
    [undefined, `/docker/${ID.slice(0, 12)}`],
  ]
  for (const [info, expected] of rows) {
    test(`${expected ?? 'none'}`, () => assert.equal(idOf(`/docker/${ID}`, info), expected))
  }
})

test('what no runtime is asked about has the name of its path', () => {
  const rows: Readonly<Record<string, string>> = {
    '/system.slice/docker.service': '/system.slice/docker.service',
    '/podruntime/kubelet': '/talos/kubelet',
    '/init': '/talos/init',
    '/lxc/mysql-primary-db': '/lxc/mysql-primary-db',
    '/lxc.payload.first/init.scope': '/lxc/first',
    '/machine.slice/machine-debian.scope': '/nspawn/debian',
    '/docker/buildkit/x2k9f0vw1c8q7r6t5y4u3i2o1': '/buildkit',
  }
  for (const [path, expected] of Object.entries(rows)) assert.equal(idOf(path, undefined), expected)
})

describe('the workload of a pod', () => {
  const rows: Readonly<Record<string, string>> = {
    '/k8s/default/web-5d4f8c7b9-x2k9f/nginx': '/k8s/default/web',
    '/k8s/default/my-long-web-0-x2k9f/nginx': '/k8s/default/my-long-web',
    '/k8s/kube-system/kube-proxy-x2k9f/kube-proxy': '/k8s/kube-system/kube-proxy',
    '/k8s/default/db-0/postgres': '/k8s/default/db',
    '/k8s/default/db-123/postgres': '/k8s/default/db',
    '/k8s/default/kube-apiserver-node1/kube-apiserver': '',
    '/k8s/default/alone/app': '',
    '/k8s-cronjob/default/backup/dump': '/k8s-cronjob/default/backup',
    '/docker/shop': '',
    '/swarm/shop/api/2': '',
    '/nomad/default/web/front/e2f1/nginx': '',
    '/system.slice/docker.service': '',
    '/user.slice/user@1000.service/pipewire.service': '',
  }
  for (const [id, expected] of Object.entries(rows)) {
    test(`of ${id} is ${expected || 'itself'}`, () => assert.equal(appId(id), expected))
  }
})

test('units that are the housekeeping of every machine are none of ours, and only those', () => {
  const unit = { type: 'simple', triggeredBy: '' }
  const system = [
    ...['systemd-journald', 'dbus', 'getty@tty1', 'system-serial', 'system-getty', 'serial-getty@ttyS0', 'snapd'],
    ...['packagekit', 'unattended-upgrades', 'multipathd', 'qemu-guest-agent', 'irqbalance', 'networkd-dispatcher'],
    'rpcbind',
  ]
  for (const name of system) assert.ok(isSystemUnit(`/system.slice/${name}.service`, unit), name)
  for (const name of ['nginx', 'docker', 'my-systemd-app', 'ssh', 'agetty-web']) {
    assert.ok(!isSystemUnit(`/system.slice/${name}.service`, unit), name)
    assert.ok(!isSystemUnit(`/system.slice/${name}.service`, undefined), `${name}, of which nothing is known`)
  }
  const nginx = '/system.slice/nginx.service'
  for (const type of ['oneshot', 'dbus']) assert.ok(isSystemUnit(nginx, { ...unit, type }))
  for (const type of ['forking', 'notify', 'exec', 'oneshotty']) assert.ok(!isSystemUnit(nginx, { ...unit, type }))
  assert.ok(isSystemUnit(nginx, { ...unit, triggeredBy: 'nginx.timer' }))
  assert.ok(!isSystemUnit(nginx, { ...unit, triggeredBy: 'nginx.socket' }))
})
