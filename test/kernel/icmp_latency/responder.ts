// A namespace with a network that is as bad as one likes (test/tools/echo_responder.c), what the responder did there,
// and what tcpdump saw on the wire.
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../../ending.ts'
import { buildTool } from '../../tools/build.ts'
import { until } from '../../until.ts'
import { inside, makeNamespace, type Namespace } from '../network.ts'

/** By the last byte of the address it answers for: how often it did what. */
export type Done = Readonly<Record<string, number>>

export type Responder = {
  readonly namespace: Namespace
  /** Pid of the responder, which lives in the namespace. */
  readonly pid: number
  /** Ends it, and tells what it did. */
  stop(): Promise<ReadonlyMap<number, Done>>
}

/** Answers for 10.9.0.2 and up and for fd09::2 and up; each rule is for one last byte. The device is tun0. */
export async function startResponder(t: TestContext, rules: readonly string[]): Promise<Responder> {
  const namespace = makeNamespace(t)
  const child = namespace.start(buildTool('echo_responder'), 'tun0', ...rules)
  const pid = await inside(namespace, child)
  const lines: string[] = []
  if (child.stdout) createInterface(child.stdout).on('line', (line) => lines.push(line))
  await until('the responder is ready', () => lines.includes('ready'))
  namespace.run('ip', 'address', 'add', '10.9.0.1/24', 'dev', 'tun0')
  namespace.run('ip', 'address', 'add', 'fd09::1/64', 'dev', 'tun0', 'nodad')
  namespace.run('ip', 'link', 'set', 'tun0', 'up')
  return {
    namespace,
    pid,
    async stop() {
      await ended(child, 'SIGTERM')
      await until('it has told all', () => lines.length === rules.length + 1)
      return new Map(lines.slice(1).map((line) => [JSON.parse(line).last, JSON.parse(line)]))
    },
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}

/** One that was seen on the wire. */
export type RoundTrip = { readonly address: string; readonly ident: number; readonly seconds: number }

/** Captures echo packets on a device of a namespace. The result ends it, and tells round trips in order of the replies. */
export async function startTcpdump(
  t: TestContext,
  { start }: Pick<Namespace, 'start'>,
  device: string,
): Promise<() => Promise<RoundTrip[]>> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-tcpdump-'))
  atEnd(t, () => rmSync(folder, { recursive: true }))
  const file = join(folder, 'packets')
  // Room for thousands of packets: each takes as much of the buffer as the longest (-s).
  const options = ['-n', '--immediate-mode', '-s', '256', '--time-stamp-precision=nano', '-Z', 'root', '-B', '8192']
  const child = start('tcpdump', ...options, '-i', device, '-U', '-w', file, 'icmp or icmp6')
  await until('tcpdump captures', () => existsWithHeader(file))
  return async () => {
    await written(file)
    await ended(child, 'SIGINT')
    const text = execFileSync('tcpdump', ['-n', '-tt', '--time-stamp-precision=nano', '-r', file], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return roundTrips(text)
  }
}

/** What it has not come to yet when it is interrupted, tcpdump does not write. Where packets go on, it has had its time. */
async function written(file: string): Promise<void> {
  let before = -1
  for (let looks = 0; looks < 5; looks++) {
    const { size } = statSync(file)
    if (size === before) return
    before = size
    await sleep(700)
  }
}

function existsWithHeader(file: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0
}

const LINE = /^(\d+)\.(\d{9}) IP6? ([0-9a-f.:]+) > ([0-9a-f.:]+): ICMP6?, echo (request|reply), id (\d+), seq (\d+)/

function roundTrips(text: string): RoundTrip[] {
  const asked = new Map<string, number>()
  const found: RoundTrip[] = []
  const first = Number(/^(\d+)/.exec(text)?.[1])
  for (const line of text.split('\n')) {
    // tcpdump writes `ICMP echo request` of IPv4 and `ICMP6, echo request` of IPv6.
    const match = LINE.exec(line.replace('ICMP echo', 'ICMP, echo'))
    if (!match) continue
    const [, seconds, nanoseconds, from = '', to = '', what, id, seq] = match
    const at = Number(seconds) - first + Number(nanoseconds) / 1e9
    const other = what === 'request' ? to : from
    const key = `${other} ${id} ${seq}`
    const sentAt = asked.get(key)
    if (what === 'request') asked.set(key, at)
    else if (sentAt !== undefined) {
      asked.delete(key)
      found.push({ address: other, ident: Number(id), seconds: at - sentAt })
    }
  }
  return found
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2
}
