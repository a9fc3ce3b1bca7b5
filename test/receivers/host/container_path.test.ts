// Paths as runtimes make them → whose they are. The first table is the peer's own (its rules, first match wins); the
// second has the shapes that it drops or mistakes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { placeOf } from '../../../receivers/host/container_path.ts'
import { randomFrom } from '../../random.ts'

const A = '63425c4a8b4291744a79dd9011fddc7a1f8ffda61f65d72196aa01d00cae2e2d'
const B = 'ba7b10d15d16e10e3de7a2dcd408a3d971169ae303f46cfad4c5453c6326fee2'
const POD = '6a1ce5cb-3a42-4d8c-9d21-0aa1b2c3d4e5'
const POD_ = POD.replaceAll('-', '_')

/** path → `runtime id top`, or undefined for what is no container. `?` after the runtime: more than one names them so. */
type Row = readonly [path: string, expected: string | undefined]

const peers: readonly Row[] = [
  // 1, 9: Talos
  ['/init', 'talos init /init'],
  ['/podruntime/kubelet', 'talos kubelet /podruntime/kubelet'],
  ['/system/dashboard', 'talos dashboard /system/dashboard'],
  ['/system', undefined],
  // 2: sessions, and PID 1
  ['/', undefined],
  ['/init.scope', undefined],
  ['/user.slice/user-0.slice/session-1.scope', undefined],
  ['/systemd/system-getty.slice', undefined],
  // 3: Docker
  [`/docker/${A}`, `docker ${A} /docker/${A}`],
  [`/system.slice/docker-${B}.scope`, `docker ${B} /system.slice/docker-${B}.scope`],
  // 4, 5: CRI-O and its monitors
  [
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/crio-${A}.scope`,
    `cri-o ${A} /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/crio-${A}.scope`,
  ],
  [
    `/kubepods.slice/kubepods-pod${POD_}.slice/crio-${B}.scope/container`,
    `cri-o ${B} /kubepods.slice/kubepods-pod${POD_}.slice/crio-${B}.scope`,
  ],
  [`/kubepods.slice/kubepods-pod${POD_}.slice/crio-conmon-${B}.scope`, undefined],
  // 6: containerd by CRI
  [
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${A}.scope`,
    `containerd ${A} /kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${A}.scope`,
  ],
  [
    `/system.slice/containerd.service/kubepods-burstable-pod${POD_}.slice:cri-containerd:${B}`,
    `containerd ${B} /system.slice/containerd.service/kubepods-burstable-pod${POD_}.slice:cri-containerd:${B}`,
  ],
  // 7: a bare id in a pod: Docker by its shim, or containerd
  [`/kubepods/burstable/pod${POD}/${A}`, `containerd? ${A} /kubepods/burstable/pod${POD}/${A}`],
  [`/kubepods/besteffort/pod${POD}/${B}/kube-proxy`, `containerd? ${B} /kubepods/besteffort/pod${POD}/${B}`],
  // 8: gVisor's sandbox has no id in its path, and only its command line tells one
  [`/kubepods/burstable/pod${POD}`, undefined],
  // 10: scopes of systemd
  ['/system.slice/run-r2cd1b3ef6a7f4b7da3f1.scope', undefined],
  [`/system.slice/cri-containerd-${A}.scope`, undefined],
  ['/kube.slice/kubelet.scope', undefined],
  // 11: services
  ['/system.slice/springboot.service', 'systemd /system.slice/springboot.service /system.slice/springboot.service'],
  ['/runtime.slice/kubelet.service', 'systemd /runtime.slice/kubelet.service /runtime.slice/kubelet.service'],
  ['/reserved.slice/sshd.service', 'systemd /reserved.slice/sshd.service /reserved.slice/sshd.service'],
  ['/azure.slice/walinuxagent.service', 'systemd /azure.slice/walinuxagent.service /azure.slice/walinuxagent.service'],
  ['/podruntime.slice/crio.service', 'systemd /podruntime.slice/crio.service /podruntime.slice/crio.service'],
  // The peer names these by their slice, which puts every instance of a template into one.
  ['/system.slice/system-serial\\x2dgetty.slice', undefined],
  [
    '/system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS0.service',
    'systemd /system.slice/serial-getty@ttyS0.service /system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS0.service',
  ],
  [
    '/system.slice/system-postgresql.slice/postgresql@9.4-main.service',
    'systemd /system.slice/postgresql@9.4-main.service /system.slice/system-postgresql.slice/postgresql@9.4-main.service',
  ],
  // 12, 13: LXC
  ['/lxc/mysql-primary-db', 'lxc mysql-primary-db /lxc/mysql-primary-db'],
  ['/lxc.payload.first/system.slice/x.service', 'lxc first /lxc.payload.first'],
  // 14: one component
  ['/lxc.monitor.first', undefined],
  ['/foo', undefined],
]

const ours: readonly Row[] = [
  // Podman
  [`/machine.slice/libpod-${A}.scope`, `podman ${A} /machine.slice/libpod-${A}.scope`],
  [`/machine.slice/libpod-${A}.scope/container`, `podman ${A} /machine.slice/libpod-${A}.scope`],
  [`/machine.slice/libpod-conmon-${A}.scope`, undefined],
  [
    `/machine.slice/machine-libpod_pod_${B}.slice/libpod-${A}.scope`,
    `podman ${A} /machine.slice/machine-libpod_pod_${B}.slice/libpod-${A}.scope`,
  ],
  [`/machine.slice/machine-libpod_pod_${B}.slice`, undefined],
  [`/libpod_parent/libpod-${A}`, `podman ${A} /libpod_parent/libpod-${A}`],
  [`/libpod_parent/conmon`, undefined],
  [`/libpod_parent/${B}`, undefined],
  [`/libpod_parent/${B}/libpod-${A}`, `podman ${A} /libpod_parent/${B}/libpod-${A}`],
  [
    `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${A}.scope/container`,
    `podman ${A} /user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${A}.scope`,
  ],
  // A quadlet (`--cgroups=split`) lives in its unit, whose name outlives the id.
  [`/system.slice/web.service/libpod-payload-${A}`, 'systemd /system.slice/web.service /system.slice/web.service'],
  // nerdctl and other namespaces of containerd
  [`/default/${A}`, `containerd? ${A} /default/${A}`],
  [`/system.slice/nerdctl-${A}.scope`, `containerd ${A} /system.slice/nerdctl-${A}.scope`],
  [`/buildkit/${A}`, `other buildkit /buildkit`],
  // Docker: --cgroup-parent, rootless, in Docker, image builds
  [`/shop/${A}`, `docker? ${A} /shop/${A}`],
  [`/shop.slice/docker-${A}.scope`, `docker ${A} /shop.slice/docker-${A}.scope`],
  [
    `/user.slice/user-1000.slice/user@1000.service/app.slice/docker-${A}.scope`,
    `docker ${A} /user.slice/user-1000.slice/user@1000.service/app.slice/docker-${A}.scope`,
  ],
  [`/docker/${A}/docker/${B}`, `docker ${A} /docker/${A}`],
  [`/docker/${A}/system.slice/docker-${B}.scope`, `docker ${A} /docker/${A}`],
  [`/docker/${A}/system.slice/nginx.service`, `docker ${A} /docker/${A}`],
  ['/docker/buildkit', undefined],
  ['/docker/buildkit/x2k9f0vw1c8q7r6t5y4u3i2o1', 'other buildkit /docker/buildkit'],
  [
    '/system.slice/docker-x2k9f0vw1c8q7r6t5y4u3i2o1.scope',
    'other buildkit /system.slice/docker-x2k9f0vw1c8q7r6t5y4u3i2o1.scope',
  ],
  ['/docker', undefined],
  ['/system.slice/docker.service', 'systemd /system.slice/docker.service /system.slice/docker.service'],
  // kind, minikube: a whole cluster in a Docker container, which is the one that this host has
  [`/docker/${A}/kubelet/kubepods/burstable/pod${POD}/${B}`, `docker ${A} /docker/${A}`],
  [
    `/system.slice/docker-${A}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${POD_}.slice/cri-containerd-${B}.scope`,
    `docker ${A} /system.slice/docker-${A}.scope`,
  ],
  // LXC, Proxmox, LXD; machines
  ['/lxc/101/ns/init.scope', 'lxc 101 /lxc/101'],
  ['/lxc.monitor/101', undefined],
  ['/lxc.payload/web', 'lxc web /lxc.payload/web'],
  [`/lxc.payload.build/docker/${A}`, 'lxc build /lxc.payload.build'],
  [
    '/machine.slice/machine-debian\\x2d12.scope/payload/init.scope',
    'nspawn debian-12 /machine.slice/machine-debian\\x2d12.scope',
  ],
  ['/machine.slice/systemd-nspawn@web.service/payload', 'nspawn web /machine.slice/systemd-nspawn@web.service'],
  ['/machine.slice/machine-qemu\\x2d1\\x2dvm.scope', 'other qemu-1-vm /machine.slice/machine-qemu\\x2d1\\x2dvm.scope'],
  // Services of users, in their own slices, in none
  [
    '/user.slice/user-1000.slice/user@1000.service/app.slice/pipewire.service',
    'systemd /user.slice/user@1000.service/pipewire.service /user.slice/user-1000.slice/user@1000.service/app.slice/pipewire.service',
  ],
  ['/user.slice/user-1000.slice/user@1000.service', undefined],
  ['/user.slice/user-1000.slice/user@1000.service/init.scope', undefined],
  ['/nginx.service', 'systemd /nginx.service /nginx.service'],
  ['/system.slice/nginx.service/worker', 'systemd /system.slice/nginx.service /system.slice/nginx.service'],
  ['/shop/nginx.service', undefined],
  // What only looks like one
  [`/docker/${A.slice(1)}`, undefined],
  [`/docker/${A}0`, undefined],
  [`/docker/${A.toUpperCase()}`, undefined],
  [`/system.slice/docker-${A}.mount`, undefined],
  ['', undefined],
]

const told = (path: string): string | undefined => {
  const placed = placeOf(path)
  return placed && `${placed.runtime}${placed.ambiguous ? '?' : ''} ${placed.id} ${placed.top}`
}

for (const [whose, rows] of Object.entries({
  'the rules of the peer': peers,
  'what the peer drops or mistakes': ours,
})) {
  describe(whose, () => {
    for (const [path, expected] of rows)
      test(`${path} is ${expected ?? 'no container'}`, () => assert.equal(told(path), expected))
  })
}

test('the UID of a pod is found in every spelling', () => {
  const uid = (path: string) => placeOf(path)?.podUid
  assert.equal(uid(`/kubepods/burstable/pod${POD}/${A}`), POD)
  assert.equal(uid(`/kubepods.slice/kubepods-pod${POD_}.slice/cri-containerd-${A}.scope`), POD)
  // A static pod's is the hash of its manifest.
  assert.equal(uid(`/kubepods/burstable/pod${A.slice(0, 32)}/${B}`), A.slice(0, 32))
  assert.equal(uid(`/docker/${A}`), '')
})

test('what lies in a container is placed where the container is, however deep', () => {
  // A service is no border: containerd.service holds the containers that it made.
  const all = [...peers, ...ours].flatMap(([path]) => placeOf(path) ?? [])
  const tops = all.flatMap(({ runtime, top }) => (runtime === 'talos' || runtime === 'systemd' ? [] : top))
  assert.ok(tops.length > 25)
  for (const top of tops) {
    const placed = placeOf(top)
    // Builds differ: what holds all their steps is a container when it holds one.
    if (placed === undefined) assert.match(top, /buildkit$/)
    else
      for (const below of [
        '/a',
        '/init.scope',
        `/docker/${B}`,
        `/kubepods/pod${POD}/${B}`,
        '/system.slice/x.service',
      ]) {
        assert.deepEqual(placeOf(top + below), placed, top + below)
      }
  }
})

test('a path of any characters and length is answered at once', () => {
  const next = randomFrom(1)
  const pieces = [
    '/',
    'docker',
    A,
    'kubepods',
    '.slice',
    '.scope',
    'libpod-',
    'user@1.service',
    '\\x2d',
    '-',
    ' ',
    '\ud800',
    'pod',
    POD,
  ]
  const start = performance.now()
  for (let i = 0; i < 50_000; i++) {
    const path = Array.from({ length: next(12) }, () => pieces[next(pieces.length)]).join('')
    const placed = placeOf(`/${path}`)
    if (placed !== undefined) assert.ok(placed.id !== '' && placed.top.startsWith('/'), path)
  }
  placeOf(`/${'a/'.repeat(100_000)}`)
  placeOf(`/kubepods/${'pod0'.repeat(100_000)}`)
  assert.ok(performance.now() - start < 20_000)
})
