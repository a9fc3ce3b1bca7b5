// The real agent as a process of its own: started, watched, and ended whatever happens.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { until } from '../service/given.ts'

export const MAIN = 'otel-config/main.ts'

/** A configuration that runs without privileges, on a port that is free. */
export const SMALL = `receivers: {cgroup: {collection_interval: 200ms}}
extensions: {host: {docker: {endpoint: "unix:///nowhere"}}}
exporters: {prometheus: {endpoint: "localhost:0"}}
service: {extensions: [host], pipelines: {metrics: {receivers: [cgroup], exporters: [prometheus]}}}
`

export type Answer = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** Runs a command to its end. */
export function leadline(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Answer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, ...environment },
  })
  return { code: status, stdout, stderr }
}

/** A folder for one test. */
export function folder(context: TestContext): (name: string, text: string) => string {
  const path = mkdtempSync(join(tmpdir(), 'leadline-commands-'))
  context.after(() => rmSync(path, { recursive: true }))
  return (name, text) => {
    writeFileSync(join(path, name), text)
    return join(path, name)
  }
}

export type Agent = {
  readonly child: ChildProcess
  stderr(): string
  stdout(): string
  /** Waits until stderr holds this, or fails with what it held instead. */
  says(what: string | RegExp, times?: number): Promise<void>
  /** Address of the page, once it is said. */
  url(): string
  ended(): Promise<number | null>
}

/** Starts `leadline` with these arguments. It is killed at the end of the test if it still lives. */
export function agent(context: TestContext, args: readonly string[], nodeArgs: readonly string[] = []): Agent {
  const child = spawn(process.execPath, [...nodeArgs, MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const { promise: end, resolve } = Promise.withResolvers<number | null>()
  let stderr = ''
  let stdout = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.once('close', resolve)
  context.after(() => {
    child.kill('SIGKILL')
    return end
  })
  return {
    child,
    stderr: () => stderr,
    stdout: () => stdout,
    async says(what, times = 1) {
      const found = () => stderr.split(what).length > times
      await until(() => found() || child.exitCode !== null, `${what} in\n${stderr}`).catch((error: Error) => {
        throw new Error(`${error.message}, but it said\n${stderr}`)
      })
      if (!found()) throw new Error(`it ended with ${child.exitCode} and never said ${what}:\n${stderr}`)
    },
    url: () => Array.from(stderr.matchAll(/metrics on (http:\S+)/g), ([, url]) => url).at(-1) ?? '',
    ended: () => end,
  }
}
