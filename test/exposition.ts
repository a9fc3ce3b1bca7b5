// Reads a Prometheus text page, strictly enough to fail on what a scraper would refuse. For tests only.

export type Labels = Readonly<Record<string, string>>
export type Sample = { readonly name: string; readonly labels: Labels; readonly value: number }

export type Page = {
  readonly text: string
  readonly samples: readonly Sample[]
  /** Samples of this name that carry at least these labels. */
  all(name: string, labels?: Labels): Sample[]
  /** The value of the only one of them; undefined when there is none. Throws when there are several. */
  value(name: string, labels?: Labels): number | undefined
}

/** Throws with the line that is wrong. */
export function parsePage(text: string): Page {
  const samples: Sample[] = []
  for (const line of text.split('\n')) if (line !== '' && !line.startsWith('#')) samples.push(parseLine(line))
  const all = (name: string, labels: Labels = {}) =>
    samples.filter(
      (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    )
  return {
    text,
    samples,
    all,
    value(name, labels) {
      const found = all(name, labels)
      if (found.length > 1) throw new Error(`${found.length} series of ${name}${JSON.stringify(labels)}`)
      return found[0]?.value
    },
  }
}

const UNESCAPED: Readonly<Record<string, string>> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' }

function parseLine(line: string): Sample {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0]
  if (name === undefined) throw new Error(`not a sample: ${line}`)
  const labels: Record<string, string> = {}
  let at = name.length
  if (line[at] === '{') {
    const pair = /[{,]([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"/y
    pair.lastIndex = at
    for (let found = pair.exec(line); found !== null; found = pair.exec(line)) {
      const [, key = '', value = ''] = found
      if (key in labels) throw new Error(`label ${key} twice: ${line}`)
      labels[key] = value.replaceAll(/\\[\\"n]/g, (escaped) => UNESCAPED[escaped] ?? escaped)
      at = pair.lastIndex
    }
    if (line[at] === '{') at++
    if (line[at] !== '}') throw new Error(`bad labels at column ${at + 1}: ${line}`)
    at++
  }
  const value = /^ (\S+)(?: -?\d+)?$/.exec(line.slice(at))?.[1]
  if (value === undefined) throw new Error(`bad value: ${line}`)
  const number = value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value)
  if (Number.isNaN(number) && value !== 'NaN') throw new Error(`bad value: ${line}`)
  return { name, labels, value: number }
}
