// Which lines are one message, and how severe it is: the ways in which the programs of containers write, one by one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { cases, readMessages } from './given.ts'

const all = cases(readFileSync(new URL('kinds.txt', import.meta.url), 'utf8'))

/** By number of the first line: how many lines with text, and the level if it is one of those accepted. */
function expected(messages: (typeof all)[number]['messages'], found: ReturnType<typeof readMessages>) {
  let line = 1
  return messages.map(({ levels, lines }) => {
    const blank = lines.findIndex((text) => text.trim() !== '')
    const last = lines.findLastIndex((text) => text.trim() !== '')
    const first = line + blank
    line += lines.length
    const level = found.find((one) => one.line === first)?.level ?? ''
    return { line: first, lines: last - blank + 1, level: levels.includes(level) ? level : levels[0] }
  })
}

for (const { name, log, messages } of all) {
  test(name, () => {
    const found = readMessages(log)
    assert.deepEqual(
      found.map(({ line, lines, level }) => ({ line, lines, level })),
      expected(messages, found),
    )
  })
}

test('where chunks are cut does not matter', () => {
  for (const { name, log } of all) {
    const whole = readMessages(log)
    const lines = log.split('\n').length
    for (let cut = 1; cut < lines; cut++) assert.deepEqual(readMessages(log, [cut]), whole, `${name}, cut at ${cut}`)
    assert.deepEqual(
      readMessages(
        log,
        Array.from({ length: lines }, (_, i) => i),
      ),
      whole,
      `${name}, line by line`,
    )
  }
})

test('logs of different kinds one after the other stay apart', () => {
  const mixed = all.map(({ log }) => log).join('')
  const apart = all.flatMap(({ log }) => readMessages(log).length).reduce((a, b) => a + b)
  // A line that could belong to the log above may be taken for it, but no more than that.
  assert.ok(readMessages(mixed).length >= apart * 0.9, `${readMessages(mixed).length} of ${apart}`)
})
