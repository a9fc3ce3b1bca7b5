// A containerd of the test's own with its CRI plug-in, spoken to over gRPC as the kubelet does (k8s.io/cri-api).
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Client, credentials } from '@grpc/grpc-js'
import { atEnd } from '../ending.ts'
import { until } from '../until.ts'

/** Where bundles are looked for. Docker's own containerd has its state elsewhere. */
const STATE = '/run/containerd'

type Field = readonly [number, string | number | Buffer]

/** A protobuf message of strings, numbers and messages. */
export function message(...fields: Field[]): Buffer {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)])
      const bytes = Buffer.from(value)
      return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
    }),
  )
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest])
    bytes.push((rest % 128) | 128)
  }
}

/** The first field of an answer, which is the id in all that we ask. */
function firstString(answer: Buffer): string {
  return answer.length < 2 ? '' : answer.toString('utf8', 2, 2 + (answer[1] ?? 0))
}

export type Pod = {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Those of `leadline.test/` are in the bundle, as containerd is configured here. */
  readonly annotations?: Readonly<Record<string, string>>
}

export type Cri = {
  /** Runs a command of our image in a pod of its own; the container's id and the path of its cgroup. */
  run(
    pod: Pod,
    container: string,
    command: readonly string[],
  ): Promise<{ readonly id: string; readonly cgroup: string }>
}

/** The daemon, its containers and the folder with all its state end with the test. `tar` is a file system with busybox. */
export async function startCri(t: TestContext, tar: Buffer): Promise<Cri> {
  if (existsSync(`${STATE}/containerd.sock`)) throw new Error(`a containerd of the system uses ${STATE}: stop it first`)
  const folder = mkdtempSync(join(tmpdir(), 'leadline-cri-'))
  const socket = join(folder, 'containerd.sock')
  writeFileSync(
    join(folder, 'config.toml'),
    `version = 2
root = "${folder}/root"
state = "${STATE}"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "leadline.test/pause:1"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "${folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  pod_annotations = ["leadline.test/*"]
`,
  )
  const daemon = spawn('containerd', ['--config', join(folder, 'config.toml'), '--log-level', 'error'], {
    stdio: 'ignore',
  })
  const ctr = (...args: string[]) => execFileSync('ctr', ['-a', socket, '-n', 'k8s.io', ...args], { encoding: 'utf8' })
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  const made: { readonly sandbox: string }[] = []
  const ask = (method: string, request: Buffer) =>
    new Promise<Buffer>((resolve, reject) => {
      const same = (bytes: Buffer) => bytes
      const path = `/runtime.v1.RuntimeService/${method}`
      const deadline = { deadline: Date.now() + 30_000 }
      client.makeUnaryRequest(path, same, same, request, deadline, (error, answer) =>
        error ? reject(error) : resolve(answer ?? Buffer.alloc(0)),
      )
    })
  atEnd(t, async () => {
    for (const { sandbox } of made) {
      await ask('StopPodSandbox', message([1, sandbox])).catch(() => {})
      await ask('RemovePodSandbox', message([1, sandbox])).catch(() => {})
    }
    client.close()
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    daemon.kill('SIGTERM')
    await gone
    rmSync(folder, { recursive: true, force: true })
    for (const left of ['grpc.v1.cri', 'runtime.v1.linux', 'runtime.v2.task']) {
      rmSync(join(STATE, `io.containerd.${left}`), { recursive: true, force: true })
    }
  })
  await until('containerd answers', () => ctr('version'), { deadlineMs: 20_000 })
  for (const [name, command] of Object.entries({ pause: ['/bin/sleep', '100000'], box: ['/bin/sh'] })) {
    const image = join(folder, `${name}.tar`)
    writeFileSync(image, ociImage(folder, `leadline.test/${name}:1`, tar, command))
    ctr('images', 'import', image)
  }
  return {
    async run({ namespace, name, uid, annotations = {} }, container, command) {
      const logs = `/var/log/pods/${namespace}_${name}_${uid}`
      mkdirSync(join(logs, container), { recursive: true })
      atEnd(t, () => rmSync(logs, { recursive: true, force: true }))
      const parent = `/kubepods/besteffort/pod${uid}`
      const metadata = message([1, name], [2, uid], [3, namespace])
      // NamespaceMode NODE for the network: there is no CNI here.
      const namespaces = message([1, message([1, 2])])
      const linux = message([1, parent], [2, namespaces])
      const told = Object.entries(annotations).map(([key, value]): Field => [7, message([1, key], [2, value])])
      const config = message([1, metadata], [3, logs], ...told, [8, linux])
      const sandbox = firstString(await ask('RunPodSandbox', message([1, config])))
      made.push({ sandbox })
      const args = command.map((word): Field => [3, word])
      const image = message([1, 'leadline.test/box:1'])
      const label: Field = [9, message([1, 'io.kubernetes.container.name'], [2, container])]
      const wanted = message([1, message([1, container])], [2, image], ...args, label, [11, `${container}/0.log`])
      const id = firstString(await ask('CreateContainer', message([1, sandbox], [2, wanted], [3, config])))
      await ask('StartContainer', message([1, id]))
      return { id, cgroup: `${parent}/${id}` }
    },
  }
}

/** docker save's format, which ctr imports too. */
function ociImage(folder: string, name: string, layer: Buffer, command: readonly string[]): Buffer {
  const image = mkdtempSync(join(folder, 'image-'))
  writeFileSync(join(image, 'layer.tar'), layer)
  const digest = execFileSync('sha256sum', [join(image, 'layer.tar')], { encoding: 'utf8' }).slice(0, 64)
  const rootfs = { type: 'layers', diff_ids: [`sha256:${digest}`] }
  writeFileSync(
    join(image, 'config.json'),
    JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Cmd: command }, rootfs }),
  )
  writeFileSync(
    join(image, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]),
  )
  return execFileSync('tar', ['-C', image, '-c', '.'], { maxBuffer: 1 << 28 })
}
