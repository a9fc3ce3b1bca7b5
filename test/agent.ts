// Starts the real agent as a child process and talks to it as the world does: by configuration, signals, log and page.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { root } from '../native/paths.ts'
import { atEnd } from './ending.ts'
import { type Page, parsePage } from './exposition.ts'
import { until } from './until.ts'

export type Launch = {
  /** Receivers of the pipeline with their settings; both shipped ones by default. */
  readonly receivers?: Readonly<Record<string, object>>
  /** `container_attribution` by default. */
  readonly processors?: Readonly<Record<string, object>>
  /** Beside `prometheus`, which listens on a free port. Settings of its own under its name. */
  readonly exporters?: Readonly<Record<string, object>>
  readonly extensions?: Readonly<Record<string, object>>
  readonly telemetry?: object
  /** Instead of all that: what `--config` is given. Its page is found if it listens on a free port (`localhost:0`). */
  readonly config?: string
  /** A command to run it under: `setpriv --bounding-set …`. */
  readonly under?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Started as users start it, by otel-config/bin/leadline, with its flags for memory. Else Node runs `main`. */
  readonly launcher?: boolean
  /** What Node runs: the sources, or another file (the bundle). */
  readonly main?: string
  readonly nodeFlags?: readonly string[]
}

export type Agent = {
  readonly pid: number
  /** Of the page: `http://localhost:40123/metrics`. '' without a prometheus exporter. */
  readonly url: string
  /** Milliseconds from the start of the process to its line `Everything is ready`. */
  readonly readyMs: number
  /** Everything that it has said so far. */
  log(): string
  /** What is on its standard output so far. */
  printed(): string
  /** The lines of the log that match. */
  said(what: RegExp): string[]
  scrape(): Promise<Page>
  /** Resident memory in bytes, by kind. */
  memory(): { readonly rssBytes: number; readonly anonBytes: number; readonly fileBytes: number }
  /** Has it read its configuration again, and waits until it is ready. */
  reload(): Promise<void>
  /** Asks it to end and waits. It has to exit with 0. */
  stop(): Promise<void>
}

const READY_MS = 90_000
const STOP_MS = 15_000

/** An agent that ends with the test, and must then end well. */
export async function startAgent(t: TestContext, launch: Launch = {}): Promise<Agent> {
  const agent = await launchAgent(launch)
  atEnd(t, () => agent.stop())
  return agent
}

/** The caller has to stop it. Throws with the agent's log when it does not get ready. */
export async function launchAgent(launch: Launch = {}): Promise<Agent> {
  const startMs = performance.now()
  const main = launch.main ?? join(root, 'otel-config/main.ts')
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', ...(launch.nodeFlags ?? [])]
  const agent = launch.launcher ? ['sh', join(root, 'otel-config/bin/leadline')] : [...node, main]
  const command = [...(launch.under ?? []), ...agent, 'run', '--config', launch.config ?? yamlOf(launch)]
  const child = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...launch.env },
  })
  const { pid } = child
  assert.ok(pid !== undefined, `cannot start ${command[0]}`)
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log += chunk))
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (printed += chunk))
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  // The agent says it after it has said that it is ready. Ours always has a page.
  // After a reload it is another one.
  const urlOf = () => [...log.matchAll(/metrics on (http:\S+)\s/g)].at(-1)?.[1]
  const isReady = () => /Everything is ready.*\n/.test(log) && (launch.config !== undefined || urlOf() !== undefined)

  try {
    await until('the agent is ready', () => hasEnded() || isReady(), {
      deadlineMs: READY_MS,
    })
    assert.ok(!hasEnded(), 'the agent ended')
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`the agent did not get ready; it said:\n${log}`, { cause: error })
  }
  const readyMs = performance.now() - startMs

  return {
    pid,
    get url() {
      return urlOf() ?? ''
    },
    readyMs,
    log: () => log,
    printed: () => printed,
    said: (what) => log.split('\n').filter((line) => what.test(line)),
    async scrape() {
      const response = await fetch(await until('the agent says where its page is', urlOf))
      const text = await response.text()
      assert.equal(response.status, 200, text)
      return parsePage(text)
    },
    memory: () => memoryOf(pid),
    async reload() {
      const times = () => log.split('Everything is ready').length
      const before = times()
      child.kill('SIGHUP')
      await until('it is ready again', () => times() > before && isReady(), { deadlineMs: READY_MS })
    },
    async stop() {
      if (!hasEnded()) child.kill('SIGTERM')
      await ended(child, () => log)
      assert.equal(child.exitCode, 0, `the agent ended with ${child.exitCode ?? child.signalCode}; it said:\n${log}`)
    },
  }
}

async function ended(child: ChildProcess, log: () => string): Promise<void> {
  try {
    await until('the agent ends', () => child.exitCode !== null || child.signalCode !== null, { deadlineMs: STOP_MS })
  } catch (cause) {
    const threads = child.pid === undefined ? '' : threadsOf(child.pid)
    child.kill('SIGKILL')
    throw new Error(`the agent did not end; it said:\n${log()}\nits threads:\n${threads}`, { cause })
  }
}

/** What each thread does: its name, its state, and where it is in the kernel (proc_pid_stack(5)). */
function threadsOf(pid: number): string {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'latin1').trim()
    } catch (error) {
      return String(error)
    }
  }
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((task) => `/proc/${pid}/task/${task}`)
      .map((task) => `${read(`${task}/comm`)}: ${read(`${task}/status`).split('\n')[2]}\n${read(`${task}/stack`)}`)
      .join('\n')
  } catch (error) {
    return String(error)
  }
}

/** JSON is YAML; only the dollar sign means something to our configuration. */
function yamlOf({ receivers, processors, exporters, extensions, telemetry }: Launch): string {
  const given = {
    receivers: receivers ?? { delay_accounting: {}, cgroup: {} },
    processors: processors ?? { container_attribution: {} },
    exporters: { ...exporters, prometheus: { endpoint: 'localhost:0', max_age: 0, ...exporters?.prometheus } },
    extensions: extensions ?? {},
  }
  const service = {
    extensions: Object.keys(given.extensions),
    ...(telemetry && { telemetry }),
    pipelines: {
      metrics: {
        receivers: Object.keys(given.receivers),
        processors: Object.keys(given.processors),
        exporters: Object.keys(given.exporters),
      },
    },
  }
  return `yaml:${JSON.stringify({ ...given, service }).replaceAll('$', '$$$$')}`
}

function memoryOf(pid: number) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const bytes = (key: string) => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
  return { rssBytes: bytes('VmRSS'), anonBytes: bytes('RssAnon'), fileBytes: bytes('RssFile') }
}
