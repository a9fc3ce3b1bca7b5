// Logs of containers that ended while no agent was there: their last lines are read all the same, and offsets of logs
// that are gone are let go of.
import { existsSync } from 'node:fs'
import type { Host } from '../host/host.ts'
import { type Checkpoints, JOURNALD, type Writer } from './checkpoints.ts'
import { STDOUT_STDERR } from './docker_logs.ts'
import type { Followed } from './followed.ts'
import type { FormatOptions } from './formats/format.ts'
import { FORMATS } from './formats/index.ts'

type Options = {
  readonly host: Host
  readonly checkpoints: Checkpoints
  readonly followed: Followed
  readonly format: FormatOptions
}

/** Until then runtimes have told of the containers that live. */
const AFTER_MS = 3000
const EVERY_MS = 60_000

/** Returns what ends it. */
export function recallLogs({ host, checkpoints, followed, format }: Options): () => void {
  function recall(): void {
    for (const [key, { writer }] of checkpoints.entries()) {
      if (writer === undefined || writer.ended || followed.has(key)) continue
      const make = FORMATS[writer.format]
      const { path, cgroup } = writer
      if (make === undefined || !existsSync(path)) continue
      const ghost = host.logs?.recall(cgroup)
      if (ghost === undefined) continue
      followed.add({
        key,
        path,
        format: make(format),
        formatName: writer.format,
        source: STDOUT_STDERR,
        outputs: true,
        subject: () => host.logs?.cgroupOf(containerOf(key)) ?? ghost,
        start: () => ({ at: 'end' }),
      })
    }
  }

  function forget(): void {
    for (const [key, { writer }] of checkpoints.entries()) {
      if (writer !== undefined && !followed.has(key) && isGone(key, writer)) checkpoints.remove(key)
    }
  }

  const isGone = (key: string, { format, path }: Writer): boolean =>
    format === JOURNALD ? host.logs?.cgroupOf(containerOf(key)) === undefined : !existsSync(path)

  const recalling = setTimeout(recall, AFTER_MS).unref()
  const forgetting = setInterval(forget, EVERY_MS).unref()
  return () => {
    clearTimeout(recalling)
    clearInterval(forgetting)
  }
}

const containerOf = (key: string): string => key.slice(key.indexOf('/') + 1)
