// What `leadline logs` shows in the end: patterns by count, with level, course over time, and a message of each.
import { styleText } from 'node:util'
import {
  contentTemplate,
  LEVELS,
  type Message,
  masked,
  type Patterns,
} from '../../processors/log_fingerprint/engine.ts'
import { labelText, sampleOf } from '../../processors/log_fingerprint/sample.ts'
import { createCourse } from './logs_course.ts'
import type { Terminal } from './terminal.ts'

const SAMPLE_BYTES = 1024
const MAX_TEMPLATES = 10_000
const OVERFLOW = '(more patterns than --max-patterns)'

type Shown = { sample: string; pattern: string; firstMs: number; lastMs: number }
type Wanted = { readonly top: number; readonly isRaw: boolean }

/** What one reader tells. Several read in turns, each with a message that is open, whose text is its own. */
export type SummedStream = {
  /** To be called as a message's text is read. */
  noteText(): void
  /** Of each message that ends, also of one that is not added. */
  noteTime(message: Message): void
  /** The message whose text was noted last has ended. */
  add(entry: number, message: Message): void
}

export function createSummary({ top, isRaw }: Wanted, terminal: Terminal) {
  const shown: (Shown | undefined)[] = []
  const course = createCourse()
  const byLevel = LEVELS.map(() => 0)
  let messages = 0
  let firstMs = Number.POSITIVE_INFINITY
  let lastMs = Number.NEGATIVE_INFINITY
  // The tokens are overwritten by the next line, which comes before this message ends; so the template is made at
  // once, but only when the pattern is new.
  const templates = new Map<number, string>()

  function stream(): SummedStream {
    let pattern = ''
    const placed = course.stream()
    return {
      noteText() {
        const key = masked.high * 2 ** 32 + masked.low
        const known = templates.get(key)
        pattern = known ?? contentTemplate()
        if (known !== undefined) return
        if (templates.size >= MAX_TEMPLATES) templates.clear()
        templates.set(key, pattern)
      },
      noteTime: (message) => placed.noteTime(message.writtenMs),
      add(entry, message) {
        placed.add(entry)
        add(entry, message, pattern)
      },
    }
  }

  function add(entry: number, message: Message, pattern: string) {
    messages++
    byLevel[message.level] = (byLevel[message.level] as number) + 1
    const { writtenMs } = message
    if (writtenMs < firstMs) firstMs = writtenMs
    if (writtenMs > lastMs) lastMs = writtenMs
    const known = shown[entry]
    if (known !== undefined) {
      // Files are read as they are named, and streams in turns: what is read later may be older.
      if (writtenMs < known.firstMs) known.firstMs = writtenMs
      if (writtenMs > known.lastMs) known.lastMs = writtenMs
      return
    }
    const isOverflow = entry < LEVELS.length
    shown[entry] = {
      sample: isOverflow ? '' : sampleOf(message, SAMPLE_BYTES, isRaw),
      pattern: isOverflow ? OVERFLOW : labelText(pattern, SAMPLE_BYTES, isRaw),
      firstMs: Number.isNaN(writtenMs) ? Number.POSITIVE_INFINITY : writtenMs,
      lastMs: Number.isNaN(writtenMs) ? Number.NEGATIVE_INFINITY : writtenMs,
    }
  }

  /** By count. */
  function entries(patterns: Patterns): number[] {
    const all = shown.keys().filter((entry) => shown[entry] !== undefined)
    return [...all].sort((a, b) => patterns.countOf(b) - patterns.countOf(a))
  }

  function headLine(patterns: Patterns, all: readonly number[]): string {
    const counts = byLevel.flatMap((count, level) => (count > 0 ? [`${LEVELS[level]} ${grouped(count)}`] : []))
    const span = firstMs <= lastMs ? ` · ${moment(firstMs)} to ${moment(lastMs)}` : ''
    return `${plural(messages, 'message')}, ${plural(all.filter(patterns.isNamed).length, 'pattern')}${span}\n${counts.reverse().join(' · ')}\n`
  }

  function render(patterns: Patterns): string {
    const all = entries(patterns)
    if (all.length === 0) return 'no messages\n'
    const best = all.slice(0, top)
    const width = Math.max(5, ...best.map((entry) => grouped(patterns.countOf(entry)).length))
    const columns = Math.max(terminal.columns() ?? WIDEST, NARROWEST)
    const oneLine = (text: string, before: number) => shortened(text, Math.min(columns - before, WIDEST))
    const rows = best.map((entry) => {
      const { sample, pattern } = shown[entry] as Shown
      const level = LEVELS[patterns.levelOf(entry)] ?? 'unknown'
      const row = `${grouped(patterns.countOf(entry)).padStart(width)}  ${coloured(level)}  ${course.line(entry)}  ${oneLine(pattern, width + BEFORE_PATTERN)}`
      return sample === '' || shortened(sample, WIDEST) === shortened(pattern, WIDEST)
        ? row
        : `${row}\n${' '.repeat(width + 2)}${dim(oneLine(sample, width + 2))}`
    })
    const rest = all.length - best.length
    const more = rest > 0 ? `… and ${plural(rest, 'pattern')} more: --top ${all.length}\n` : ''
    return `${headLine(patterns, all)}\n${rows.join('\n')}\n${more}`
  }

  const isColoured = terminal.isWatched && !terminal.environment.NO_COLOR
  const dim = (words: string) => (isColoured ? styleText('dim', words, { validateStream: false }) : words)
  const coloured = (level: string) => {
    const padded = level.padEnd(8)
    const colour = COLOURS[level]
    return isColoured && colour !== undefined ? styleText(colour, padded, { validateStream: false }) : padded
  }

  return {
    stream,
    text: render,
    /** The same again and again, in place. */
    showLive(patterns: Patterns) {
      terminal.print(`${terminal.isWatched ? '\x1b[H\x1b[2J' : ''}${render(patterns)}`)
    },
    json(patterns: Patterns): string {
      const all = entries(patterns)
      const report = {
        messages,
        first: iso(firstMs),
        last: iso(lastMs),
        levels: Object.fromEntries(LEVELS.map((level, at) => [level, byLevel[at]])),
        patterns: all.slice(0, top).map((entry) => {
          const { sample, pattern, firstMs: first, lastMs: last } = shown[entry] as Shown
          return {
            count: patterns.countOf(entry),
            level: LEVELS[patterns.levelOf(entry)],
            pattern_hash: patterns.hashOf(entry),
            pattern,
            sample,
            first: iso(first),
            last: iso(last),
          }
        }),
        more_patterns: Math.max(0, all.length - top),
      }
      return `${JSON.stringify(report, undefined, 2)}\n`
    },
  }
}

const COLOURS: Readonly<Record<string, 'red' | 'yellow' | 'green' | 'gray' | 'magenta'>> = {
  critical: 'magenta',
  error: 'red',
  warning: 'yellow',
  info: 'green',
  debug: 'gray',
}

const grouped = (count: number) => String(count).replaceAll(/\B(?=(\d{3})+$)/g, ' ')
const plural = (count: number, what: string) => `${grouped(count)} ${what}${count === 1 ? '' : 's'}`
const iso = (ms: number) => (Number.isFinite(ms) ? new Date(ms).toISOString() : null)
/** As the clock on this wall shows it. */
const moment = (ms: number) => {
  const local = ms - new Date(ms).getTimezoneOffset() * 60_000
  return new Date(local).toISOString().slice(0, 19).replace('T', ' ')
}
/** As much as a line shows, in characters. */
const WIDEST = 160
const NARROWEST = 60
/** Gap, level, gap, course, gap. */
const BEFORE_PATTERN = 2 + 8 + 2 + 16 + 2

const shortened = (text: string, most: number) => {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}
