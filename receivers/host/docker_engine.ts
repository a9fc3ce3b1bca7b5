// A connection to one Docker Engine that is kept. dockerode does not reconnect, so this does: events again from the
// last one seen, then the list. dockerode is loaded only when there is somebody to talk to: it is the heaviest thing we have.
import { existsSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { Logger } from '../receiver.ts'
import { type DockerEvent, decodeEvent, EVENT_FILTERS, readLines } from './docker_events.ts'

export type DockerEngine = {
  /** True while events come and the list is known. */
  readonly connected: boolean
  /** Resolves when the first attempt to connect has ended, whatever its end, and at the latest after a second. */
  readonly firstAttempt: Promise<void>
  /** All containers that run. Throws when the engine does not answer in time. */
  list(signal: AbortSignal): Promise<readonly Docker.ContainerInfo[]>
  /** Throws when the engine does not know the container or does not answer in time. */
  inspect(id: string, signal: AbortSignal): Promise<Docker.ContainerInspectInfo>
  /** Where it keeps its files (`/var/lib/docker`), as it told last. */
  rootDirectory(): Promise<string>
  stop(): Promise<void>
}

export type DockerEngineOptions = {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. */
  readonly endpoint: string
  /** For each question, in milliseconds. */
  readonly timeoutMs: number
  readonly log: Logger
  readonly onEvent: (event: DockerEvent) => void
  /** All containers that run. Events that came since it was asked for follow: they are the newer ones. */
  readonly onList: (containers: readonly Docker.ContainerInfo[]) => void
}

const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 5000
const LONGEST_FIRST_MS = 1000
/** Connections in a row that ended soon. */
const QUIET_AFTER = 3

export function connectDocker({ endpoint, timeoutMs, log, onEvent, onList }: DockerEngineOptions): DockerEngine {
  const stopping = new AbortController()
  const socketPath = endpoint.startsWith('unix://') ? endpoint.slice('unix://'.length) : undefined
  let client: Docker | undefined
  let root: Promise<string> | undefined
  let since = ''
  let connected = false
  let complained = false
  let shortSessions = 0
  const first = Promise.withResolvers<void>()

  const inReach = () => socketPath === undefined || existsSync(socketPath)

  async function load(): Promise<Docker> {
    if (client !== undefined) return client
    const { default: Engine } = await import('dockerode')
    // No `timeout` of its own: it would also end an event stream in which nothing happens.
    client = new Engine(socketPath === undefined ? addressOf(endpoint) : { socketPath })
    return client
  }

  async function openEvents(docker: Docker, signal: AbortSignal): Promise<Readable> {
    const query = { ...(since === '' ? {} : { since }), filters: EVENT_FILTERS, abortSignal: signal }
    // The types of dockerode know neither fractions of a second nor that what comes is a Readable.
    const events = docker.getEvents(query as unknown as Docker.GetEventsOptions)
    return (await orAborted(events, signal)) as unknown as Readable
  }

  const list = (docker: Docker, abortSignal: AbortSignal) =>
    orAborted(docker.listContainers({ abortSignal }), abortSignal)

  /** Resolves when the connection has ended. */
  async function session(): Promise<void> {
    const docker = await load()
    const ending = new AbortController()
    const patience = setTimeout(() => ending.abort(), timeoutMs)
    const signal = AbortSignal.any([ending.signal, stopping.signal])
    try {
      const events = await openEvents(docker, signal)
      let early: DockerEvent[] | undefined = []
      const ended = readLines(events, (line) => {
        const event = decodeEvent(line)
        if (event === undefined) return log.debug('an event of Docker cannot be read', { line: line.slice(0, 200) })
        since = event.since
        if (early) early.push(event)
        else onEvent(event)
      })
      onList(await list(docker, signal))
      for (const event of early) onEvent(event)
      early = undefined
      clearTimeout(patience)
      connected = true
      complained = false
      if (shortSessions < QUIET_AFTER) log.info('docker answers', { endpoint })
      first.resolve()
      await ended
    } finally {
      clearTimeout(patience)
      ending.abort()
    }
  }

  async function stayConnected(): Promise<void> {
    let retryMs = FIRST_RETRY_MS
    if (!inReach()) {
      log.info('no docker here: its containers would be named by their ids', {
        endpoint,
        fix: 'start docker, or mount its socket; or set extensions::host::docker::endpoint. It is looked for again and again',
      })
    }
    while (!stopping.signal.aborted) {
      const startMs = performance.now()
      if (inReach()) await session().catch(complain)
      first.resolve()
      if (connected) {
        // One that ends again and again, as a proxy's may, is neither tried without pause nor told of each time.
        const isShort = performance.now() - startMs < LONGEST_RETRY_MS
        shortSessions = isShort ? shortSessions + 1 : 0
        if (shortSessions < QUIET_AFTER) retryMs = FIRST_RETRY_MS
        if (!stopping.signal.aborted && shortSessions < QUIET_AFTER)
          log.warn('docker went away: the names it gave stay, new containers are named by their ids', { endpoint })
      }
      connected = false
      await sleep(retryMs, undefined, { ref: false, signal: stopping.signal }).catch(() => undefined)
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
    }
  }

  function complain(error: Error): void {
    if (complained || stopping.signal.aborted) return
    complained = true
    log.warn('docker does not answer: containers are named by their ids', {
      endpoint,
      error: error.message,
      fix: 'run as root or in the group docker, or set extensions::host::docker::endpoint',
    })
  }

  const running = stayConnected()
  const longest = setTimeout(() => first.resolve(), LONGEST_FIRST_MS).unref()
  void first.promise.then(() => clearTimeout(longest))

  return {
    get connected() {
      return connected
    },
    firstAttempt: first.promise,
    async list(signal) {
      return list(await load(), AbortSignal.any([signal, stopping.signal]))
    },
    async inspect(id, signal) {
      const docker = await load()
      const abortSignal = AbortSignal.any([signal, stopping.signal])
      return orAborted(docker.getContainer(id).inspect({ abortSignal }), abortSignal)
    },
    rootDirectory() {
      root ??= load()
        .then((docker) => docker.info())
        .then(({ DockerRootDir }) => DockerRootDir as string)
      root.catch(() => {
        root = undefined
      })
      return root
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** dockerode settles nothing when a connection ends in the middle of an answer, so the deadline is held here. */
async function orAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([answer, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function addressOf(endpoint: string): Docker.DockerOptions {
  const { hostname, port } = new URL(endpoint.replace(/^tcp:/, 'http:'))
  return { protocol: 'http', host: hostname, port: Number(port || 2375) }
}
