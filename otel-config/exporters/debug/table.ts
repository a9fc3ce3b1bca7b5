// A table of containers for a person, whoever waits most on top.
import type { Rates } from './rates.ts'

type Column = { readonly title: string; readonly cell: (rates: Rates) => string }

const or = (value: number | undefined, show: (value: number) => string) => (value === undefined ? '–' : show(value))
const cores = (value: number | undefined) => or(value, (all) => all.toFixed(2))
const perSecond = (value: number | undefined) =>
  or(value, (seconds) => `${(seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0)} ms/s`)

function bytes(value: number | undefined): string {
  return or(value, (all) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
    let [amount, unit] = [all, 0]
    while (amount >= 1024 && unit < units.length - 1) [amount, unit] = [amount / 1024, unit + 1]
    return `${amount.toFixed(unit > 0 && amount < 10 ? 1 : 0)} ${units[unit]}`
  })
}

/** Names come from whoever started the container: no control characters reach the terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
const plain = (text: string) => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')

const r = 'container.resources'
const columns: readonly Column[] = [
  { title: 'CPU used', cell: ({ rate }) => cores(rate(`${r}.cpu.usage`)) },
  { title: 'limit', cell: ({ now }) => cores(now(`${r}.cpu.limit_cores`)) },
  { title: 'CPU wait', cell: ({ rate }) => perSecond(rate(`${r}.cpu.delay`)) },
  { title: 'throttled', cell: ({ rate }) => perSecond(rate(`${r}.cpu.throttled`)) },
  { title: 'disk wait', cell: ({ rate }) => perSecond(rate(`${r}.disk.delay`)) },
  { title: 'memory', cell: ({ now }) => bytes(now(`${r}.memory.rss`)) },
  { title: 'limit', cell: ({ now }) => bytes(now(`${r}.memory.limit`)) },
  { title: 'I/O pressure', cell: ({ rate }) => perSecond(rate(`${r}.io.pressure.waiting`)) },
]

const waiting = ({ rate }: Rates) => (rate(`${r}.cpu.delay`) ?? 0) + (rate(`${r}.disk.delay`) ?? 0)

/** Lines that end in a newline. `width` in characters bounds the names. */
export function containerTable(all: readonly Rates[], heading: string, width: number): string {
  if (all.length === 0) return `${heading}: no containers\n`
  const sorted = [...all].sort((a, b) => waiting(b) - waiting(a) || a.container.localeCompare(b.container))
  const cells = sorted.map((rates) => columns.map(({ cell }) => cell(rates)))
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)))
  const room = Math.max(16, width - widths.reduce((sum, each) => sum + each + 2, 0))
  const names = sorted
    .map(({ container }) => plain(container))
    .map((name) => (name.length > room ? `${name.slice(0, room - 1)}…` : name))
  const nameWidth = Math.max('container'.length, ...names.map((name) => name.length))
  const line = (name: string, row: readonly string[]) =>
    `${name.padEnd(nameWidth)}${row.map((cell, i) => `  ${cell.padStart(widths[i] ?? 0)}`).join('')}\n`
  return `${heading}\n${line(
    'container',
    columns.map(({ title }) => title),
  )}${names.map((name, i) => line(name, cells[i] ?? [])).join('')}`
}
