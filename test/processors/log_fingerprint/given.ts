// Logs as tests write them: messages with the level that each should have, and what is read from them.
import { createReader, hashText, LEVELS } from '../../../processors/log_fingerprint/engine.ts'

export type Read = { readonly line: number; readonly lines: number; readonly level: string; readonly hash: string }

/** Whole lines in, messages out. Where `cuts` says so, a new chunk begins with the line of that number (from 0). */
export function readMessages(text: string | Buffer, cuts: readonly number[] = []): Read[] {
  const found: Read[] = []
  const reader = createReader({
    keepBytes: 1024,
    onMessage: ({ firstLine, lines, level, high, low }) =>
      found.push({ line: firstLine, lines, level: LEVELS[level] ?? '', hash: hashText(high, low) }),
  })
  for (const chunk of chunks(Buffer.from(text), cuts)) reader.read(chunk)
  reader.flush()
  return found
}

export function chunks(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const starts = [0]
  let line = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) {
    if (cuts.includes(++line)) starts.push(at + 1)
  }
  return starts.map((start, i) => bytes.subarray(start, starts[i + 1])).filter(({ length }) => length > 0)
}

export const hashOf = (line: string) => readMessages(`${line}\n`)[0]?.hash
export const levelOf = (line: string) => readMessages(`${line}\n`)[0]?.level

/** `## name` begins a log, `@@ level` a message of it; `a|b`: either is right. */
export function cases(
  text: string,
): { name: string; log: string; messages: { levels: string[]; lines: string[] }[] }[] {
  return text
    .split(/^## /m)
    .slice(1)
    .map((part) => {
      const [name = '', ...rest] = part.split('\n')
      const messages = rest
        .join('\n')
        .split(/^@@ /m)
        .slice(1)
        .map((message) => {
          const [levels = '', ...lines] = message.replace(/\n$/, '').split('\n')
          return { levels: levels.split('|'), lines }
        })
      return { name, log: messages.map(({ lines }) => `${lines.join('\n')}\n`).join(''), messages }
    })
}
