// A Docker Engine made to order: answers what the test says, when it says, on a unix socket.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Placed } from '../../../receivers/host/container_path.ts'
import { dockerSource } from '../../../receivers/host/docker.ts'
import { atEnd } from '../../ending.ts'
import { listeningLog } from '../quiet.ts'

export type Answer = (response: ServerResponse, request: IncomingMessage) => void
export type Server = {
  readonly endpoint: string
  /** Paths with their queries, in the order they came. */
  readonly asked: string[]
  /** How `/events`, `/containers/json` and `/containers/ID/json` are answered from now on. */
  script: { events: Answer; list: Answer; inspect: Answer }
  /** Streams of events that are open. */
  readonly streams: ServerResponse[]
  /** Writes to all open streams of events. */
  tell(text: string): void
  listen(): Promise<void>
  /** Ends as a killed daemon does: all connections are gone. */
  kill(): Promise<void>
}

export const json =
  (body: unknown, status = 200): Answer =>
  (response) =>
    void response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
export const hang: Answer = () => {}
export const missing = json({ message: 'No such container' }, 404)

export const id = (digit: string) => digit.repeat(64)
export const container = (digit: string, name: string, more: object = {}) => ({
  ...{ Id: id(digit), Names: [`/${name}`], Image: 'nginx:1', Labels: {}, State: 'running' },
  ...more,
})
export const inspected = (name: string, more: object = {}) => ({
  Name: `/${name}`,
  Config: { Image: 'nginx:1', Labels: {}, Env: [], ...more },
})
export const event = (digit: string, action: string, name: string, more: object = {}) =>
  `${JSON.stringify({
    Action: action,
    Actor: { ID: id(digit), Attributes: { name, image: 'nginx:1', ...more } },
    timeNano: Date.now() * 1e6,
  })}\n`

export async function dockerServer(t: TestContext): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-engine-'))
  const path = join(folder, 'docker.sock')
  const asked: string[] = []
  const streams: ServerResponse[] = []
  const script: Server['script'] = { events: () => {}, list: json([]), inspect: missing }
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    asked.push(decodeURIComponent(url))
    if (url.startsWith('/events')) {
      streams.push(response)
      response.once('close', () => streams.splice(streams.indexOf(response), 1))
      response.writeHead(200, { 'Content-Type': 'application/json' }).flushHeaders()
      script.events(response, request)
    } else if (url.startsWith('/containers/json')) script.list(response, request)
    else script.inspect(response, request)
  })
  async function kill() {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  async function listen() {
    rmSync(path, { force: true })
    server.listen(path)
    await once(server, 'listening')
  }
  atEnd(t, async () => {
    await kill()
    rmSync(folder, { recursive: true, force: true })
  })
  await listen()
  const tell = (text: string) => {
    for (const stream of streams) stream.write(text)
  }
  return { endpoint: `unix://${path}`, asked, script, streams, tell, listen, kill }
}

/** The source under test, and what it says of the container whose id is this digit. */
export function ours(t: TestContext, server: Server, { timeoutMs = 1000, negativeMs = 60_000 } = {}) {
  const log = listeningLog()
  const changed: string[] = []
  const source = dockerSource({
    timeoutMs,
    negativeMs,
    endpoint: server.endpoint,
    rememberMs: 60_000,
    log,
    onChange: (which) => changed.push(which),
  })
  atEnd(t, () => source.stop())
  const placed = (digit: string, more: Partial<Placed> = {}): Placed => ({
    ...{ runtime: 'docker', id: id(digit), top: `/docker/${id(digit)}`, podUid: '', ask: 'runtime', ambiguous: false },
    ...more,
  })
  const ask = (digit: string, more?: Partial<Placed>) => source.ask(placed(digit, more))
  return {
    log,
    changed,
    source,
    ask,
    name(digit: string) {
      const answer = ask(digit)
      return answer.state === 'known' ? answer.info.name : answer.state
    },
    said: (what: RegExp) => log.said.filter(({ message }) => what.test(message)),
  }
}
