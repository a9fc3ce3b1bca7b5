// A real systemd-journald, also where systemd is not PID 1: started by hand, with the volatile journal it then writes.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { atEnd } from '../ending.ts'
import { until } from '../until.ts'

const DAEMON = '/lib/systemd/systemd-journald'
const SOCKETS = ['socket', 'stdout', 'dev-log'].map((name) => `/run/systemd/journal/${name}`)

/** Ends with the test, with what it wrote. One that runs already is used, and left alone. */
export async function startJournald(t: TestContext): Promise<void> {
  if (existsSync('/run/systemd/system')) return
  mkdirSync('/run/systemd/journal', { recursive: true })
  mkdirSync('/run/log/journal', { recursive: true })
  for (const socket of SOCKETS) rmSync(socket, { force: true })
  const daemon: ChildProcess = spawn(DAEMON, { stdio: 'ignore' })
  atEnd(t, async () => {
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    daemon.kill('SIGTERM')
    await gone
    rmSync('/run/log/journal', { recursive: true, force: true })
    rmSync('/run/systemd/journal', { recursive: true, force: true })
  })
  await until('journald listens', () => SOCKETS.every((socket) => existsSync(socket)))
  if (!existsSync('/dev/log')) {
    symlinkSync('/run/systemd/journal/dev-log', '/dev/log')
    atEnd(t, () => rmSync('/dev/log', { force: true }))
  }
}
