// Names, images and labels from the Docker Engine. dockerode is loaded only when the socket is there, because it is
// the heaviest thing we have. It does not reconnect, so this does: events again from the last one seen, then the list.
import { existsSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { Logger } from '../receiver.ts'
import type { RuntimeInfo } from './container_id.ts'
import type { Answer, ContainerSource } from './source.ts'

export type DockerOptions = {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. */
  readonly endpoint: string
  /** For each question, in milliseconds. */
  readonly timeoutMs: number
  /** How long an id that Docker does not know is not asked about again. */
  readonly negativeMs: number
  /** How long a removed container's name is kept. */
  readonly rememberMs: number
  readonly log: Logger
  /** Something about a container became known or changed. */
  readonly onChange: (id: string) => void
}

const FIRST_RETRY_MS = 250
const LONGEST_RETRY_MS = 5000
const LONGEST_LINE = 4 << 20

type Entry = { info: RuntimeInfo; removedMs: number | undefined }

const withoutNameAndImage = ({ name: _name, image: _image, ...labels }: Record<string, string>) => labels

export function dockerSource(options: DockerOptions): ContainerSource {
  const { endpoint, log } = options
  const known = new Map<string, Entry>()
  const unknownUntil = new Map<string, number>()
  const questions = new Map<string, Promise<void>>()
  const stopping = new AbortController()
  const socketPath = endpoint.startsWith('unix://') ? endpoint.slice('unix://'.length) : undefined
  let client: Docker | undefined
  let lastEvent = ''
  let connected = false
  let firstAttempt: Promise<void> | undefined

  const reachable = () => socketPath === undefined || existsSync(socketPath)

  function learn(id: string, info: RuntimeInfo): void {
    const before = known.get(id)
    known.set(id, { info, removedMs: undefined })
    unknownUntil.delete(id)
    if (JSON.stringify(before?.info) !== JSON.stringify(info)) options.onChange(id)
  }

  async function connect(): Promise<Docker> {
    if (client !== undefined) return client
    const { default: Engine } = await import('dockerode')
    const url = socketPath === undefined ? new URL(endpoint.replace(/^tcp:/, 'http:')) : undefined
    client = url
      ? new Engine({ host: url.hostname, port: Number(url.port || 2375) })
      : new Engine({ socketPath: socketPath ?? '' })
    return client
  }

  async function listAll(docker: Docker): Promise<void> {
    const containers = await docker.listContainers({ all: true, abortSignal: AbortSignal.timeout(options.timeoutMs) })
    const present = new Set<string>()
    for (const { Id, Names, Image, Labels } of containers) {
      present.add(Id)
      // A linked container has further names with a slash inside; its own has one in front only.
      const name = Names.find((candidate) => candidate.lastIndexOf('/') === 0) ?? Names[0] ?? ''
      learn(Id, {
        name: name.replace(/^\//, ''),
        image: Image,
        labels: Labels ?? {},
        env: known.get(Id)?.info.env ?? {},
      })
    }
    for (const [id, entry] of known) if (!present.has(id)) entry.removedMs ??= Date.now()
  }

  function onEvent(line: string): void {
    let event: { Action?: string; timeNano?: number; Actor?: { ID?: string; Attributes?: Record<string, string> } }
    try {
      event = JSON.parse(line)
    } catch {
      log.debug('an event of Docker is not JSON', { line: line.slice(0, 200) })
      return
    }
    const id = event.Actor?.ID ?? ''
    const attributes = event.Actor?.Attributes ?? {}
    // timeNano is beyond 2^53; a replay from a little earlier only repeats events.
    if (event.timeNano !== undefined) lastEvent = (event.timeNano / 1e9 - 0.001).toFixed(6)
    if (id === '') return
    const before = known.get(id)
    if (event.Action === 'destroy') {
      if (before) before.removedMs = Date.now()
    } else if (attributes.name !== undefined && ['create', 'start', 'rename', 'update'].includes(event.Action ?? '')) {
      learn(id, {
        name: attributes.name,
        image: attributes.image ?? before?.info.image ?? '',
        labels: before?.info.labels ?? withoutNameAndImage(attributes),
        env: before?.info.env ?? {},
      })
    }
  }

  /** Events come in chunks that know nothing of lines. Resolves when the stream ends, for whatever reason. */
  function follow(stream: Readable): Promise<void> {
    return new Promise((resolve) => {
      let rest = ''
      stream.setEncoding('utf8')
      stream.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n')
        rest = (lines.pop() ?? '').slice(-LONGEST_LINE)
        for (const line of lines) if (line.trim() !== '') onEvent(line)
      })
      for (const end of ['end', 'close', 'error', 'aborted']) stream.on(end, () => resolve())
      stopping.signal.addEventListener('abort', () => stream.destroy(), { once: true })
    })
  }

  /** The types of dockerode know neither a fraction of a second nor that what comes is a Readable. */
  async function openEvents(docker: Docker): Promise<Readable> {
    const query = {
      ...(lastEvent === '' ? {} : { since: lastEvent }),
      filters: { type: ['container'], event: ['create', 'start', 'rename', 'update', 'destroy'] },
    }
    return (await docker.getEvents(query as unknown as Docker.GetEventsOptions)) as unknown as Readable
  }

  async function session(): Promise<void> {
    const docker = await connect()
    const events = await openEvents(docker)
    const ended = follow(events)
    try {
      await listAll(docker)
    } catch (error) {
      events.destroy()
      throw error
    }
    if (!connected) log.info('docker is answering', { endpoint, containers: known.size })
    connected = true
    await ended
  }

  async function stayConnected(): Promise<void> {
    let retryMs = FIRST_RETRY_MS
    while (!stopping.signal.aborted) {
      if (reachable()) {
        try {
          await session()
          retryMs = FIRST_RETRY_MS
        } catch (error) {
          log.debug('docker does not answer', { endpoint, error: (error as Error).message })
        }
      }
      if (stopping.signal.aborted) return
      if (connected) log.warn('docker went away; names that are known stay', { endpoint })
      connected = false
      await sleep(retryMs, undefined, { ref: false, signal: stopping.signal }).catch(() => undefined)
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
    }
  }

  async function inspect(id: string): Promise<void> {
    try {
      const docker = await connect()
      const { Name, Config } = await docker
        .getContainer(id)
        .inspect({ abortSignal: AbortSignal.timeout(options.timeoutMs) })
      const env = Object.fromEntries(
        (Config.Env ?? []).filter((line) => line.startsWith('NOMAD_')).map((line) => line.split(/=(.*)/s).slice(0, 2)),
      )
      learn(id, { name: Name.replace(/^\//, ''), image: Config.Image, labels: Config.Labels ?? {}, env })
    } catch {
      unknownUntil.set(id, Date.now() + options.negativeMs)
      options.onChange(id)
    } finally {
      questions.delete(id)
    }
  }

  function forgetRemoved(): void {
    const oldest = Date.now() - options.rememberMs
    for (const [id, { removedMs }] of known) if (removedMs !== undefined && removedMs < oldest) known.delete(id)
    for (const [id, untilMs] of unknownUntil) if (untilMs < Date.now()) unknownUntil.delete(id)
  }
  const sweep = setInterval(forgetRemoved, Math.max(1000, options.rememberMs / 2)).unref()

  void stayConnected()
  if (reachable()) {
    // The first list answers for nearly everything, so questions wait for it, but not for long.
    firstAttempt = (async () => {
      const untilMs = Date.now() + Math.min(1000, options.timeoutMs)
      while (!connected && Date.now() < untilMs && !stopping.signal.aborted) await sleep(5)
    })().finally(() => {
      firstAttempt = undefined
    })
  }

  return {
    ask(id): Answer {
      const entry = known.get(id)
      const isNomad = entry?.info.labels['com.hashicorp.nomad.alloc_id'] !== undefined
      if (entry !== undefined && (!isNomad || 'NOMAD_TASK_NAME' in entry.info.env))
        return { state: 'known', info: entry.info }
      if (firstAttempt !== undefined || questions.has(id)) return { state: 'pending' }
      if (!connected || (unknownUntil.get(id) ?? 0) > Date.now()) return { state: 'unknown' }
      questions.set(id, inspect(id))
      return { state: 'pending' }
    },
    async settled() {
      await firstAttempt
      await Promise.all(questions.values())
    },
    stop() {
      clearInterval(sweep)
      stopping.abort()
    },
  }
}
