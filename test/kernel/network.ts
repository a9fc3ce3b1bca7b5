// Network namespaces for tests, made by iproute2 and joined by veth pairs. Gone when the test ends, however it ends.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { atEnd } from '../ending.ts'
import { until } from '../until.ts'

let count = 0

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

/** Joins two by a veth pair with these addresses (`10.0.0.1/24`); IPv6 ones are usable at once. */
export function join(left: Namespace, leftAddress: string, right: Namespace, rightAddress: string): void {
  const [l, r] = [`veth${++count}l`, `veth${count}r`]
  execFileSync('ip', ['link', 'add', l, 'netns', left.name, 'type', 'veth', 'peer', 'name', r, 'netns', right.name])
  for (const [{ run }, device, address] of [
    [left, l, leftAddress],
    [right, r, rightAddress],
  ] as const) {
    run('ip', 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []))
    run('ip', 'link', 'set', device, 'up')
  }
}

/** Waits for a process that was started by `start` to be inside. */
export async function inside({ inode }: Namespace, { pid }: ChildProcess): Promise<number> {
  await until('the process is in its namespace', () => statSync(`/proc/${pid}/ns/net`).ino === inode)
  return pid ?? 0
}
