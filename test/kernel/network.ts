// Network namespaces for tests, made by iproute2 and joined by veth pairs. Gone when the test ends, however it ends.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmdirSync, statSync } from 'node:fs'
import type { TestContext } from 'node:test'
import type { Host } from '../../receivers/host/host.ts'
import { hostSettings, startHost } from '../../receivers/host/index.ts'
import { readLayout } from '../../receivers/host/layout.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { until } from '../until.ts'

let count = 0

/** A cgroup of our own, which `cgroup_root` takes for the whole tree. */
export function makeCgroupRoot(t: TestContext): string {
  const root = `${readLayout('/sys/fs/cgroup').root}/leadline-host-${process.pid}-${++count}`
  mkdirSync(root)
  atEnd(t, () => until('the cgroup is empty and can be removed', () => rmdirSync(root) ?? true))
  return root
}

/** The host as it knows a part of the cgroup tree that is ours alone; what others do on the machine stays outside. */
export async function startQuietHost(t: TestContext, log = listeningLog()): Promise<Host> {
  const cgroup_root = makeCgroupRoot(t)
  const host = await startHost({
    log,
    settings: hostSettings.parse({ cgroup_root, docker: { endpoint: 'unix:///nowhere' } }),
  })
  atEnd(t, () => host.stop())
  return host
}

export type Namespace = {
  /** As `ip netns` knows it. */
  readonly name: string
  readonly inode: number
  /** Runs a command inside and returns what it printed. Throws with its stderr when it fails. */
  run(command: string, ...args: string[]): string
  /** Starts a process inside, which is killed when the test ends. */
  start(command: string, ...args: string[]): ChildProcess
}

/** Its loopback device is up; there is no other. */
export function makeNamespace(t: TestContext): Namespace {
  const name = `leadline-${process.pid}-${++count}`
  execFileSync('ip', ['netns', 'add', name])
  atEnd(t, () => execFileSync('ip', ['netns', 'delete', name]))
  const namespace: Namespace = {
    name,
    inode: statSync(`/run/netns/${name}`).ino,
    run: (command, ...args) =>
      execFileSync('ip', ['netns', 'exec', name, command, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    start(command, ...args) {
      const child = spawn('ip', ['netns', 'exec', name, command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      atEnd(t, () => child.kill('SIGKILL'))
      return child
    },
  }
  namespace.run('ip', 'link', 'set', 'lo', 'up')
  return namespace
}

/** Joins two by a veth pair whose ends have these addresses (`10.0.0.1/24`); IPv6 ones are usable at once. */
export function join(left: Namespace, leftHas: readonly string[], right: Namespace, rightHas: readonly string[]): void {
  const [l, r] = [`veth${++count}l`, `veth${count}r`]
  execFileSync('ip', ['link', 'add', l, 'netns', left.name, 'type', 'veth', 'peer', 'name', r, 'netns', right.name])
  for (const [{ run }, device, addresses] of [
    [left, l, leftHas],
    [right, r, rightHas],
  ] as const) {
    for (const address of addresses)
      run('ip', 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []))
    run('ip', 'link', 'set', device, 'up')
  }
}

/** Waits for a process that was started by `start` to be inside. */
export async function inside({ inode }: Namespace, { pid }: ChildProcess): Promise<number> {
  await until('the process is in its namespace', () => statSync(`/proc/${pid}/ns/net`).ino === inode)
  return pid ?? 0
}

/** From now on what is dialled at one IPv4 address there goes to another, and to its port where it has one (`10.0.0.1:80`). */
export function translate({ run }: Namespace, chain: 'OUTPUT' | 'PREROUTING', from: string, to: string): void {
  run('iptables', '-t', 'nat', '-A', chain, '-d', from, '-p', 'tcp', '-j', 'DNAT', '--to-destination', to)
}

export type Network = { readonly client: Namespace; readonly router: Namespace; readonly server: Namespace }

/** client 10.77.1.2 – router – server 10.77.2.2 and .3; fd77:1::2 – router – fd77:2::2 and ::3. The router forwards. */
export function clientRouterServer(t: TestContext): Network {
  const [client, router, server] = [makeNamespace(t), makeNamespace(t), makeNamespace(t)]
  join(client, ['10.77.1.2/24', 'fd77:1::2/64'], router, ['10.77.1.1/24', 'fd77:1::1/64'])
  const addresses = ['10.77.2.2/24', '10.77.2.3/24', 'fd77:2::2/64', 'fd77:2::3/64']
  join(router, ['10.77.2.1/24', 'fd77:2::1/64'], server, addresses)
  for (const [{ run }, gateway] of [
    [client, 1],
    [server, 2],
  ] as const) {
    run('ip', 'route', 'add', 'default', 'via', `10.77.${gateway}.1`)
    run('ip', '-6', 'route', 'add', 'default', 'via', `fd77:${gateway}::1`)
  }
  router.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
  return { client, router, server }
}
