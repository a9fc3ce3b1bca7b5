// The event stream of the Docker Engine (GET /events): JSON objects, one a line, in chunks that know nothing of lines.
import type { Readable } from 'node:stream'

/** Of the container events only these can change a name, an image or labels. The engine filters, so the rest wakes nobody. */
export const EVENT_FILTERS = {
  type: ['container'],
  event: ['create', 'start', 'rename', 'update', 'destroy'],
}

export type DockerEvent = {
  readonly action: string
  readonly id: string
  /** Seconds since the epoch, a little early: as `since` it repeats this event rather than to miss the next. */
  readonly since: string
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
}

/** A line longer than that is thrown away: labels may be long, but not without end. */
const LONGEST_LINE = 4 << 20

/** What an int64 holds. With a later `since` Docker would refuse to tell anything any more. */
const LATEST_NS = 2 ** 63

/** Undefined for what is no event of a container. */
export function decodeEvent(line: string): DockerEvent | undefined {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    return undefined
  }
  const { Action, Actor, timeNano } = asRecord(event)
  const { ID, Attributes } = asRecord(Actor)
  if (typeof Action !== 'string' || typeof ID !== 'string' || ID === '') return undefined
  if (typeof timeNano !== 'number' || timeNano < 1e9 || timeNano >= LATEST_NS) return undefined
  // Labels lie among the engine's own attributes, which win over labels of the same name.
  const { name = '', image = '', oldName: _oldName, ...labels } = stringsOf(Attributes)
  // timeNano is beyond 2^53, so its last digits are not to be trusted.
  return { action: Action, id: ID, since: (timeNano / 1e9 - 0.001).toFixed(6), name, image, labels }
}

/** Hands on each whole line. Resolves when the stream ends, for whatever reason. */
export function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    let rest = ''
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > LONGEST_LINE) rest = ''
      for (const line of lines) if (line.trim() !== '') onLine(line)
    })
    for (const end of ['end', 'close', 'error', 'aborted']) stream.once(end, () => resolve())
    stream.on('error', () => undefined)
  })
}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

/** Those members that are text. */
export const stringsOf = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries(asRecord(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
