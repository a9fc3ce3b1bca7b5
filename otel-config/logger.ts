// Our own lines: to stderr, in the Collector's shape, so that its users' eyes and log pipelines find their way.
import { closeSync, openSync, writeSync } from 'node:fs'
import type { Logger } from '../receivers/receiver.ts'
import type { LogSettings } from './config/schema.ts'

type Fields = Readonly<Record<string, unknown>>
type Level = keyof Logger

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error']

export type RootLogger = Logger & {
  /** The same, with these fields on every line. */
  with(fields: Fields): Logger
  close(): void
}

export type Write = (line: string) => void

/** Throws when an output path cannot be opened. `write` replaces the output paths. */
export function createLogger(settings: LogSettings, write?: Write): RootLogger {
  const descriptors = write === undefined ? settings.output_paths.map(open) : []
  const toAll = (line: string) => {
    for (const descriptor of descriptors) writeAll(descriptor, line)
  }
  const send = write ?? toAll
  const isSampledOut = sampler(settings.sampling)
  const format = settings.encoding === 'json' ? asJson : asConsole

  function logger(fields: Fields): Logger {
    const at =
      (level: Level) =>
      (message: string, more: Fields = {}) => {
        if (LEVELS.indexOf(level) < LEVELS.indexOf(settings.level) || isSampledOut(level, message)) return
        send(`${format(level, message, { ...fields, ...more })}\n`)
      }
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }

  return {
    ...logger(settings.initial_fields),
    with: (fields) => logger({ ...settings.initial_fields, ...fields }),
    close() {
      for (const descriptor of descriptors) if (descriptor > 2) closeSync(descriptor)
    },
  }
}

const asConsole = (level: Level, message: string, fields: Fields): string => {
  const columns = [new Date().toISOString(), level, message.replaceAll(/\p{Cc}/gu, escaped)]
  return (Object.keys(fields).length > 0 ? [...columns, json(fields)] : columns).join('\t')
}

const escaped = (character: string) => (character === '\n' ? '\\n' : '?')

const asJson = (level: Level, message: string, fields: Fields): string =>
  json({ level, ts: new Date().toISOString(), msg: message, ...fields })

function json(fields: Fields): string {
  try {
    return JSON.stringify(fields, (_, value: unknown) => {
      if (typeof value === 'bigint') return value.toString()
      return value instanceof Error ? value.message : value
    })
  } catch (error) {
    return JSON.stringify({ unprintable: error instanceof Error ? error.message : String(error) })
  }
}

function open(path: string): number {
  if (path === 'stderr') return 2
  if (path === 'stdout') return 1
  try {
    return openSync(path, 'a')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`service::telemetry::logs::output_paths: cannot open ${path}: ${reason}`, { cause })
  }
}

/** A pipe that is full or closed costs the line, never the agent. */
function writeAll(descriptor: number, line: string) {
  try {
    writeSync(descriptor, line)
  } catch {
    // There is no other place to say it.
  }
}

/** True for a line that came too often within the tick: a loop of one message must not fill a disk. */
function sampler({ enabled, tick, initial, thereafter }: LogSettings['sampling']) {
  let seen = new Map<string, number>()
  let startMs = 0
  return (level: Level, message: string): boolean => {
    if (!enabled) return false
    const nowMs = performance.now()
    if (nowMs - startMs > tick) {
      seen = new Map()
      startMs = nowMs
    }
    const key = `${level} ${message}`
    const count = (seen.get(key) ?? 0) + 1
    seen.set(key, count)
    if (count <= initial) return false
    return thereafter === 0 || (count - initial) % thereafter !== 0
  }
}
