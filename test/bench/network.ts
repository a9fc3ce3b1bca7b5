// What it costs to ask the kernel about connections: conntrack by tuple, events of new connections, lists of sockets,
// addresses of many namespaces; beside `conntrack` and `ss`, which print the same. Needs root.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { type Netlink, openNetlink } from '../../native/index.ts'
import { addressBytes } from '../../receivers/host/address.ts'
import { addressesRequest, decodeAddresses } from '../../receivers/host/addresses.ts'
import {
  askConntrack,
  conntrackEntries,
  dumpRequest,
  NETLINK_NETFILTER,
  NFNLGRP_CONNTRACK_NEW,
  type Tuple,
} from '../../receivers/host/conntrack.ts'
import { translatedTcpFilter } from '../../receivers/host/conntrack_filter.ts'
import { datagrams } from '../../receivers/host/netlink.ts'
import { dumpSockets, TCP } from '../../receivers/host/sockets.ts'
import type { Row } from './index.ts'

const HELD = 10_000
const STORM = 10_000
const NAMESPACES = 100
const ROUNDS = 7
const NETNS = `leadline-bench-${process.pid}`

/** Connects `argv[2]` times to port `argv[1]`, at most 200 at once; holds them, or resets each at once. */
const CLIENT = `
  const net = require('node:net')
  const [port, count, end] = process.argv.slice(1)
  let opened = 0, done = 0
  const next = () => {
    if (opened++ >= Number(count)) return
    const socket = net.connect(Number(port), '127.0.0.1')
    socket.on('connect', () => {
      if (end === 'rst') socket.resetAndDestroy()
      if (++done === Number(count)) console.log('done')
      next()
    })
    socket.on('error', (error) => { console.error(error.message); process.exit(1) })
  }
  for (let i = 0; i < 200; i++) next()
  setInterval(() => {}, 60_000)`

const SERVER = `
  const net = require('node:net')
  const server = net.createServer((socket) => socket.on('error', () => {}).resume())
  server.listen({ port: 8080, host: '127.0.0.1', backlog: 4096 }, () => console.log('ready'))`

export async function run(): Promise<Row[]> {
  const started: ChildProcess[] = []
  const made: string[] = []
  const inside = (name: string) => {
    execFileSync('ip', ['netns', 'add', name])
    made.push(name)
    execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
  }
  const start = async (script: string, ...args: string[]) => {
    const command = ['netns', 'exec', NETNS, process.execPath, '-e', script, '--', ...args]
    const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] })
    started.push(child)
    await once(child.stdout, 'data')
    return child
  }
  try {
    inside(NETNS)
    const rule = '-t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 8080'
    execFileSync('ip', ['netns', 'exec', NETNS, 'iptables', ...rule.split(' ')])
    await start(SERVER)
    await start(CLIENT, '80', String(HELD), 'hold')
    for (let i = 0; i < NAMESPACES; i++) inside(`${NETNS}-${i}`)
    const fd = openSync(`/run/netns/${NETNS}`, 'r')
    try {
      return [
        ...gets(fd),
        ...(await sockets(fd)),
        await events(fd, 'translated', () => start(CLIENT, '80', String(STORM), 'rst')),
        await events(fd, 'direct', () => start(CLIENT, '8080', String(STORM), 'rst')),
        addresses(made.slice(1)),
      ]
    } finally {
      closeSync(fd)
    }
  } finally {
    for (const child of started) child.kill('SIGKILL')
    await Promise.all(started.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
    for (const name of made) execFileSync('ip', ['netns', 'delete', name])
  }
}

function gets(fd: number): Row[] {
  const netlink = openNetlink({ protocol: NETLINK_NETFILTER, namespace: fd })
  try {
    const tuples = [...conntrackEntries(netlink.ask(dumpRequest(2)))]
      .map(({ original }) => original)
      .filter(({ destinationPort }) => destinationPort === 80)
    const absent = tuples.map((tuple): Tuple => ({ ...tuple, destination: addressBytes('10.0.0.1') ?? tuple.source }))
    return [
      row('conntrack by tuple, there', tuples.length, () => askConntrack(netlink, tuples)),
      row('conntrack by tuple, 10 at once', 10, () => askConntrack(netlink, tuples.slice(0, 10))),
      row('conntrack by tuple, not there', absent.length, () => askConntrack(netlink, absent)),
      row('conntrack, all entries', tuples.length, () => [...conntrackEntries(netlink.ask(dumpRequest(2)))]),
      row('`conntrack -L`', tuples.length, () => command('conntrack', '-L')),
    ]
  } finally {
    netlink.close()
  }
}

async function sockets(fd: number): Promise<Row[]> {
  const list = (info: boolean) => async () => {
    let count = 0
    for await (const some of dumpSockets(fd, [{ family: 2, states: [TCP.ESTABLISHED], info }])) count += some.length
    return count
  }
  const found = await list(false)()
  return [
    await rowOf('sock_diag', found, list(false)),
    await rowOf('sock_diag with tcp_info', found, list(true)),
    row('`ss -tin`', found, () => command('ss', '-4tinH')),
  ]
}

async function events(fd: number, what: string, storm: () => Promise<ChildProcess>): Promise<Row> {
  const netlink = openNetlink({
    protocol: NETLINK_NETFILTER,
    namespace: fd,
    groups: [NFNLGRP_CONNTRACK_NEW],
    bufferBytes: 8 << 20,
    filter: translatedTcpFilter(),
  })
  try {
    let count = 0
    let cpuMs = 0
    const drain = () => {
      const before = process.cpuUsage()
      count += drained(netlink)
      const { user, system } = process.cpuUsage(before)
      cpuMs += (user + system) / 1000
    }
    const timer = setInterval(drain, 50)
    await storm()
    clearInterval(timer)
    drain()
    return {
      what: `events of new connections, ${what}`,
      count,
      'CPU ms': round(cpuMs),
      'µs each': round((cpuMs * 1000) / STORM),
    }
  } finally {
    netlink.close()
  }
}

function drained(netlink: Netlink): number {
  const { datagrams: heard, lost } = netlink.drain()
  if (lost > 0) throw new Error(`${lost} events lost`)
  let count = 0
  for (const { at, end } of datagrams(heard)) for (const _ of conntrackEntries(heard, at, end)) count++
  return count
}

function addresses(names: readonly string[]): Row {
  return row('addresses of a namespace', names.length, () => {
    for (const name of names) {
      const fd = openSync(`/run/netns/${name}`, 'r')
      const netlink = openNetlink({ protocol: 0, namespace: fd })
      closeSync(fd)
      if ([...decodeAddresses(netlink.ask(addressesRequest()))].length !== 2) throw new Error('not the two of lo')
      netlink.close()
    }
  })
}

const command = (...args: string[]) =>
  execFileSync('ip', ['netns', 'exec', NETNS, ...args], { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] })

function row(what: string, count: number, once: () => unknown): Row {
  const ms = Array.from({ length: ROUNDS }, () => {
    const startMs = performance.now()
    once()
    return performance.now() - startMs
  })
  return told(what, count, ms)
}

async function rowOf(what: string, count: number, once: () => Promise<unknown>): Promise<Row> {
  const ms: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now()
    await once()
    ms.push(performance.now() - startMs)
  }
  return told(what, count, ms)
}

function told(what: string, count: number, ms: number[]): Row {
  const median = ms.toSorted((a, b) => a - b)[ms.length >> 1] ?? Number.NaN
  return { what, count, ms: round(median), 'µs each': round((median * 1000) / count) }
}

const round = (value: number) => Math.round(value * 100) / 100
