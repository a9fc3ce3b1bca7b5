// A real systemd-journald, also where systemd is not PID 1: started by hand, with the volatile journal it then writes.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync, rmSync, symlinkSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { readLayout } from '../../receivers/host/layout.ts'
import { atEnd } from '../ending.ts'
import { until } from '../until.ts'

const DAEMON = '/lib/systemd/systemd-journald'
const SOCKETS = ['socket', 'stdout', 'dev-log'].map((name) => `/run/systemd/journal/${name}`)

/** Ends with the test, with what it wrote. One that runs already is used, and left alone. */
export async function startJournald(t: TestContext): Promise<void> {
  atEnd(t, await runJournald())
}

/** Returns what ends it. */
export async function runJournald(): Promise<() => Promise<void>> {
  if (existsSync('/run/systemd/system')) return async () => {}
  mkdirSync('/run/systemd/journal', { recursive: true })
  mkdirSync('/run/log/journal', { recursive: true })
  for (const socket of SOCKETS) rmSync(socket, { force: true })
  const daemon: ChildProcess = spawn(DAEMON, { stdio: 'ignore' })
  await until('journald listens', () => SOCKETS.every((socket) => existsSync(socket))).catch((error) => {
    daemon.kill('SIGKILL')
    throw error
  })
  const hasLog = existsSync('/dev/log')
  if (!hasLog) symlinkSync('/run/systemd/journal/dev-log', '/dev/log')
  return async () => {
    if (!hasLog) rmSync('/dev/log', { force: true })
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    daemon.kill('SIGTERM')
    await gone
    rmSync('/run/log/journal', { recursive: true, force: true })
    rmSync('/run/systemd/journal', { recursive: true, force: true })
  }
}

/** A unit as systemd would have made it: its cgroup in every tree. */
export function makeUnit(name: string) {
  const { root, v1 } = readLayout('/sys/fs/cgroup')
  const trees = [...new Set([root, ...(v1.has('name=systemd') ? [v1.get('name=systemd') ?? ''] : [])])]
  const directories = trees.map((tree) => `${tree}/system.slice/${name}.service`)
  for (const directory of directories) mkdirSync(directory, { recursive: true })
  return {
    /** By which a shell enters it. */
    enter: directories.map((directory) => `echo $$ > ${directory}/cgroup.procs`).join(' && '),
    /** When all who run in it have ended. */
    async remove() {
      for (const directory of directories) {
        await until('it is empty', () => {
          rmdirSync(directory)
          return true
        })
      }
    },
  }
}
