// `npm run bench`: what things cost, side by side in one run. `npm run bench -- agent table` runs only these;
// `--json` prints one object per line. Machines are shared and noisy: believe ratios, not milliseconds.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** One line of a table; the keys are its headings. */
export type Row = Readonly<Record<string, string | number>>

type Bench = { run(): Promise<Row[]> | Row[] }

async function main(argv: readonly string[]): Promise<void> {
  const names = readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.ts') && name !== 'index.ts')
    .map((name) => name.slice(0, -'.ts'.length))
  const wanted = argv.filter((argument) => argument !== '--json')
  const unknown = wanted.find((name) => !names.includes(name))
  if (unknown !== undefined) {
    process.stderr.write(`no bench "${unknown}" · fix: one of ${names.join(', ')}\n`)
    process.exitCode = 2
    return
  }

  for (const name of wanted.length > 0 ? wanted : names) {
    const bench: Partial<Bench> = await import(join(import.meta.dirname, `${name}.ts`))
    if (bench.run === undefined) continue // what benches share
    const rows = await bench.run()
    if (argv.includes('--json')) process.stdout.write(`${JSON.stringify({ bench: name, rows })}\n`)
    else process.stdout.write(`${name}\n${table(rows)}\n`)
  }
}

function table(rows: readonly Row[]): string {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const cells = [keys, ...rows.map((row) => keys.map((key) => String(row[key] ?? '')))]
  const widths = keys.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)))
  const line = (row: readonly string[]) => row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  ')
  return `${cells.map((row) => `  ${line(row)}\n`).join('')}`
}

if (import.meta.main) await main(process.argv.slice(2))
