// Real TCP connections between namespaces. The server tells each client which of its addresses the client has reached:
// that is the truth about translation, from the far end.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { addressBytes } from '../../receivers/host/address.ts'
import type { Tuple } from '../../receivers/host/conntrack.ts'
import type { Namespace } from './network.ts'

const SERVER = `
  const net = require('node:net')
  let left = 0
  for (const port of process.argv.slice(1)) {
    left++
    net.createServer((socket) => {
      socket.on('error', () => {})
      socket.write(JSON.stringify([socket.localAddress, socket.localPort, socket.remoteAddress, socket.remotePort]) + '\\n')
      socket.resume()
    }).listen(Number(port), '::', 1024, () => { if (--left === 0) console.log('ready') })
  }`

/** Holds each connection until it is ended: [host, port, localPort?, how to end: 'hold' | 'fin' | 'rst'] */
const CLIENT = `
  const net = require('node:net')
  for (const [host, port, localPort, end] of JSON.parse(process.argv[1])) {
    const dialledNs = Number(process.hrtime.bigint())
    const socket = net.connect({ host, port, localPort })
    socket.on('error', (error) => console.log(JSON.stringify({ host, port, error: error.code })))
    let from
    socket.on('connect', () => { from = [socket.localAddress, socket.localPort] })
    socket.once('data', (data) => {
      const tell = () => console.log(JSON.stringify({ host, port, dialledNs, from, reached: JSON.parse(data.toString()) }))
      if (end === 'hold') return tell()
      socket.on('close', tell)
      if (end === 'rst') socket.resetAndDestroy()
      else socket.end()
    })
  }
  setInterval(() => {}, 60_000)`

/** Listens on these ports of every address of the namespace, IPv4 and IPv6. */
export async function serve(namespace: Namespace, ...ports: number[]): Promise<void> {
  const { stdout } = namespace.start(process.execPath, '-e', SERVER, '--', ...ports.map(String))
  if (stdout) await once(stdout, 'data')
}

export type Dial = {
  readonly to: string
  readonly port: number
  readonly localPort?: number
  readonly end?: 'hold' | 'fin' | 'rst'
}

export type Dialled = {
  /** As the client's socket has it. */
  readonly tuple: Tuple
  readonly dialledNs: number
  /** `address:port` of the server's end, as the server has it. */
  readonly reached: string
  /** Who the server thinks that the client is. */
  readonly seenFrom: string
}

/** Connects all at once, in the order given; those that are held end with the test. */
export async function dial(namespace: Namespace, ...dials: Dial[]): Promise<Dialled[]> {
  const wanted = dials.map(({ to, port, localPort, end = 'hold' }) => [to, port, localPort, end])
  const child = namespace.start(process.execPath, '-e', CLIENT, '--', JSON.stringify(wanted))
  if (!child.stdout) throw new Error('no output')
  const lines: Told[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(JSON.parse(line) as Told)
    if (lines.length === dials.length) break
  }
  return dials.map(({ to, port, localPort }) => {
    const told = lines.find(
      (line) => line.host === to && line.port === port && (localPort === undefined || line.from?.[1] === localPort),
    )
    if (told?.reached === undefined || told.from === undefined) throw new Error(`${to}:${port} ${told?.error}`)
    lines.splice(lines.indexOf(told), 1)
    const [address, reachedPort, remote, remotePort] = told.reached
    return {
      tuple: {
        source: bytesOf(told.from[0]),
        sourcePort: told.from[1],
        destination: bytesOf(to),
        destinationPort: port,
      },
      dialledNs: told.dialledNs,
      reached: written(address, reachedPort),
      seenFrom: written(remote, remotePort),
    }
  })
}

type Told = {
  readonly host: string
  readonly port: number
  readonly error?: string
  readonly dialledNs: number
  readonly from?: [string, number]
  readonly reached?: [string, number, string, number]
}

const bytesOf = (text: string): Uint8Array => addressBytes(text) ?? new Uint8Array()

const written = (address: string, port: number): string => {
  const plain = address.replace('::ffff:', '')
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`
}
