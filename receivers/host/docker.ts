// Names, images and labels of Docker's containers: from the list, then from events, so that a container which lived
// for fifty milliseconds has its name too. A question for a single one is the exception.
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { Logger } from '../receiver.ts'
import type { RuntimeInfo } from './container_id.ts'
import { connectDocker } from './docker_engine.ts'
import { type DockerEvent, stringsOf } from './docker_events.ts'
import { logOf } from './docker_logs.ts'
import { createDockerPorts, type PublishedPort } from './docker_ports.ts'
import type { RuntimeLog } from './runtime_logs.ts'
import { type ContainerSource, PENDING, UNKNOWN } from './source.ts'

export type DockerOptions = {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. */
  readonly endpoint: string
  /** For each question, in milliseconds. */
  readonly timeoutMs: number
  /** How long an id that Docker does not know is not asked about again. */
  readonly negativeMs: number
  /** How long the name of a container is kept that Docker does not know any more. */
  readonly rememberMs: number
  readonly log: Logger
  /** What we know of a container changed. */
  readonly onChange: (id: string) => void
}

type Known = { readonly info: RuntimeInfo; goneMs: number | undefined }

/** Requests at the same time. */
const AT_ONCE = 8
const RETRY_LOG_MS = 1000

export type DockerSource = ContainerSource & {
  /** Ports of the host that lead to containers, as of the last `settled`. */
  published(): readonly PublishedPort[]
  /** Asks for the log of each container that runs or is made from now on. */
  followLogs(listener: (log: RuntimeLog) => void): () => void
}

export function dockerSource({ negativeMs, rememberMs, onChange, ...options }: DockerOptions): DockerSource {
  const known = new Map<string, Known>()
  const unknownUntilMs = new Map<string, number>()
  const questions = new Map<string, Promise<void>>()
  const logListeners = new Set<(log: RuntimeLog) => void>()
  /** Removed while a question about them was under way. */
  const removedMeanwhile = new Set<string>()
  const waiting: (() => void)[] = []
  let starting = true
  let asking = 0

  const engine = connectDocker({ ...options, onEvent, onList })
  const ports = createDockerPorts(async () => {
    if (!engine.connected) throw new Error('docker is not there: its list comes when it is')
    return engine.list(AbortSignal.timeout(options.timeoutMs))
  })
  void engine.firstAttempt.then(() => {
    starting = false
  })

  function learn(id: string, info: RuntimeInfo): void {
    const before = known.get(id)?.info
    known.set(id, { info, goneMs: undefined })
    unknownUntilMs.delete(id)
    if (before === undefined || JSON.stringify(before) !== JSON.stringify(info)) onChange(id)
  }

  function onEvent({ action, id, name, image, labels }: DockerEvent): void {
    const before = known.get(id)
    if (action === 'start') ports.outdated()
    if (action === 'destroy') {
      if (before) before.goneMs = Date.now()
      if (questions.has(id)) removedMeanwhile.add(id)
    } else if (name !== '') {
      const env = before?.info.env ?? {}
      learn(id, { runtime: 'docker', name, image: image || (before?.info.image ?? ''), labels, env })
      if (action === 'create' || action === 'start') void tellLog(id)
    }
  }

  function onList(containers: readonly Docker.ContainerInfo[]): void {
    const running = new Set<string>()
    ports.listed(containers)
    for (const { Id, Names, Image, Labels } of containers) {
      running.add(Id)
      // A linked container bears further names with a slash inside; its own has one in front only.
      const name = Names.find((candidate) => candidate.lastIndexOf('/') === 0) ?? Names[0] ?? ''
      const before = known.get(Id)?.info
      // Where the image's name was given to another, the list has only its digest.
      const image = Image.startsWith('sha256:') ? (before?.image ?? Image) : Image
      learn(Id, { runtime: 'docker', name: name.slice(1), image, labels: stringsOf(Labels), env: before?.env ?? {} })
    }
    for (const [id, entry] of known) if (!running.has(id)) entry.goneMs ??= Date.now()
    for (const id of running) void tellLog(id)
  }

  /** Takes its turn, because a hundred questions at once would be slower for all. */
  async function inspect(id: string): Promise<Docker.ContainerInspectInfo> {
    if (asking >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
    asking++
    try {
      return await engine.inspect(id, AbortSignal.timeout(options.timeoutMs))
    } finally {
      asking--
      waiting.shift()?.()
    }
  }

  /** Asks until there is an answer, because nobody else will ask for this one's log. */
  async function tellLog(id: string): Promise<void> {
    const isThere = () => logListeners.size > 0 && known.get(id)?.goneMs === undefined
    while (isThere()) {
      try {
        const log = logOf(await inspect(id), await engine.rootDirectory())
        for (const listener of logListeners) listener(log)
        return
      } catch (error) {
        options.log.debug('docker does not tell where a log is', { id, error: (error as Error).message })
        await sleep(RETRY_LOG_MS, undefined, { ref: false })
        // The engine knows no such container, or we are not connected: then the next list tells of it.
        if ((error as { statusCode?: number }).statusCode === 404 || !engine.connected) return
      }
    }
  }

  async function ask(id: string): Promise<void> {
    const before = known.get(id)
    try {
      const { Name, Config } = await inspect(id)
      const env: Record<string, string> = {}
      for (const line of Config.Env ?? []) {
        const [, key, value] = /^(NOMAD_\w+)=(.*)$/s.exec(line) ?? []
        if (key !== undefined && value !== undefined) env[key] = value
      }
      const labels = stringsOf(Config.Labels)
      const told = known.get(id)
      // What was told meanwhile is newer than this answer.
      const info: RuntimeInfo =
        told !== undefined && told !== before
          ? { ...told.info, env }
          : { runtime: 'docker', name: Name.slice(1), image: Config.Image, labels, env }
      learn(id, info)
      const entry = known.get(id)
      if (entry && removedMeanwhile.has(id)) entry.goneMs = Date.now()
      if (lacksEnvironment(info)) unknownUntilMs.set(id, Date.now() + negativeMs)
    } catch {
      unknownUntilMs.set(id, Date.now() + negativeMs)
    } finally {
      questions.delete(id)
      removedMeanwhile.delete(id)
    }
  }

  function forget(): void {
    const nowMs = Date.now()
    for (const [id, { goneMs }] of known) if (goneMs !== undefined && goneMs + rememberMs < nowMs) known.delete(id)
    for (const [id, untilMs] of unknownUntilMs) if (untilMs < nowMs) unknownUntilMs.delete(id)
  }
  const forgetting = setInterval(forget, Math.max(1000, rememberMs / 4)).unref()

  return {
    ask({ id, runtime, ambiguous }) {
      if (runtime !== 'docker' && !ambiguous) return UNKNOWN
      const entry = known.get(id)
      const answer = entry ? ({ state: 'known', info: entry.info } as const) : UNKNOWN
      if (entry !== undefined && !lacksEnvironment(entry.info)) return answer
      if (starting || questions.has(id)) return PENDING
      if (!engine.connected || (unknownUntilMs.get(id) ?? 0) > Date.now()) return answer
      questions.set(id, ask(id))
      return PENDING
    },
    async settled() {
      await engine.firstAttempt
      await Promise.all([...questions.values(), ports.settled()])
    },
    published: () => ports.all(),
    followLogs(listener) {
      logListeners.add(listener)
      for (const [id, { goneMs }] of known) if (goneMs === undefined) void tellLog(id)
      return () => logListeners.delete(listener)
    },
    async stop() {
      clearInterval(forgetting)
      await engine.stop()
    },
  }
}

/** Nomad's names are in the environment, which neither the list nor events have. */
const lacksEnvironment = ({ labels, env }: RuntimeInfo): boolean =>
  labels['com.hashicorp.nomad.alloc_id'] !== undefined && env.NOMAD_TASK_NAME === undefined
