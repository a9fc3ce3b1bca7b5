// Reads YAML into a tree of values with their places. Anything a file can do wrong ends as a complaint, not a crash.
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml'
import { type Complaint, inFileOrder } from './complaints.ts'
import type { Entry, Place, Tree } from './tree.ts'

/** Far more than any configuration needs; less than what makes the parser slow. */
const MAX_TEXT_CHARACTERS = 1024 * 1024
const MAX_VALUES = 100_000
const MAX_DEPTH = 100

export type Parsed = { readonly tree: Tree | undefined; readonly complaints: readonly Complaint[] }

export type Source = {
  readonly name: string
  readonly order: number
  /** Every place in it is this one: for what a variable holds, and for what was typed on the command line. */
  readonly place?: Place
}

class Refused extends Error {
  readonly place: Place

  constructor(place: Place, message: string) {
    super(message)
    this.place = place
  }
}

/** The tree is undefined for an empty text, and when there are complaints. */
export function parseYaml(text: string, source: Source): Parsed {
  const lines = new LineCounter()
  const placeAt = (offset: number): Place => {
    if (source.place !== undefined) return source.place
    const { line, col } = lines.linePos(offset)
    return { source: source.name, order: source.order, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const refuse = (message: string): Parsed => ({
    tree: undefined,
    complaints: [{ place: placeAt(0), path: '', message }],
  })
  if (text.length > MAX_TEXT_CHARACTERS) return refuse(`is larger than 1 MiB: not a configuration`)
  const deep = tooDeep(text)
  if (deep !== undefined) return refuse(deep)

  try {
    // Keys are compared below: the parser's own comparison takes 13 s for 20 000 keys.
    const options = { lineCounter: lines, prettyErrors: false, uniqueKeys: false, logLevel: 'error' } as const
    const document = parseDocument(text, options)
    const problems = [...document.errors, ...document.warnings]
    if (problems.length > 0) {
      const complaints = problems.map(({ code, message, pos }) => {
        return { place: placeAt(pos[0]), path: '', message: yamlMessage(code, message) }
      })
      return { tree: undefined, complaints: firstOfEachLine(complaints) }
    }
    if (document.contents === null) return { tree: undefined, complaints: [] }
    return { tree: build(document, document.contents, placeAt), complaints: [] }
  } catch (error) {
    if (error instanceof Refused) {
      return { tree: undefined, complaints: [{ place: error.place, path: '', message: error.message }] }
    }
    if (error instanceof RangeError) return refuse(`is nested more than ${MAX_DEPTH} levels deep`)
    throw error
  }
}

/** Checked before parsing, because the parser's time grows with the square of the depth. */
function tooDeep(text: string): string | undefined {
  const message = `is nested more than ${MAX_DEPTH} levels deep`
  const compact = new RegExp(`(?:[-?:][ \\t]+){${MAX_DEPTH}}`)
  if (compact.test(text)) return message
  let open = 0
  for (const character of text) {
    if (character === '[' || character === '{') open++
    else if (character === ']' || character === '}') open = Math.max(0, open - 1)
    // Brackets in texts and comments count too, so this is only against what would overflow the parser's stack.
    if (open > MAX_DEPTH * 4) return message
  }
  return undefined
}

/** One mistake makes the parser stumble over the rest of the line, and often over the next ones. */
function firstOfEachLine(complaints: readonly Complaint[]): Complaint[] {
  const byLine = new Map(complaints.toReversed().map((complaint) => [complaint.place.line, complaint]))
  return inFileOrder([...byLine.values()]).slice(0, 5)
}

function yamlMessage(code: string, message: string): string {
  if (code === 'TAB_AS_INDENT') return 'tabs cannot indent YAML: use spaces'
  if (/call stack|stack overflow/i.test(message)) return `is nested more than ${MAX_DEPTH} levels deep`
  if (/must start at the same column/i.test(message)) {
    return 'is not valid YAML: it begins at another column than the keys beside it: indent it as much as they are'
  }
  if (code === 'MULTIPLE_DOCS')
    return 'holds more than one document (---): keep one, or give each as a --config of its own'
  return `is not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
}

function build(document: Document, contents: Node, placeAt: (offset: number) => Place): Tree {
  let values = 0

  function treeOf(node: Node | null | undefined, fallback: Place, depth: number): Tree {
    const place = node?.range ? placeAt(node.range[0]) : fallback
    if (++values > MAX_VALUES) throw new Refused(place, `holds more than ${MAX_VALUES} values, counting aliases`)
    if (depth > MAX_DEPTH) throw new Refused(place, `is nested more than ${MAX_DEPTH} levels deep`)
    if (isAlias(node)) {
      const target = node.resolve(document)
      if (target === undefined) throw new Refused(place, `*${node.source} has no anchor before it`)
      return treeOf(target, place, depth + 1)
    }
    if (isMap(node)) return { kind: 'map', entries: entriesOf(node.items, place, depth), place }
    if (isSeq(node)) {
      return { kind: 'list', items: node.items.map((item) => treeOf(item as Node, place, depth + 1)), place }
    }
    return { kind: 'scalar', value: isScalar(node) ? scalarValue(node.value, node.source) : null, place }
  }

  function entriesOf(pairs: readonly Pair[], fallback: Place, depth: number): Map<string, Entry> {
    const entries = new Map<string, Entry>()
    const merged: [string, Entry][] = []
    for (const pair of pairs) {
      const key = pair.key as Node | null
      const keyPlace = key?.range ? placeAt(key.range[0]) : fallback
      if (key !== null && !isScalar(key)) throw new Refused(keyPlace, 'a key has to be a plain word')
      const name = key === null ? 'null' : String(key.source ?? key.value)
      const value = treeOf(pair.value as Node | null, keyPlace, depth + 1)
      if (name === '<<') merged.push(...mergeKey(value))
      else if (entries.has(name)) throw new Refused(keyPlace, 'this key is here twice: keep one of them')
      else entries.set(name, { keyPlace, value })
    }
    // YAML's merge key: what stands in the map itself wins, then the first of a list.
    for (const [name, entry] of merged) if (!entries.has(name)) entries.set(name, entry)
    return entries
  }

  return treeOf(contents, placeAt(0), 0)
}

function mergeKey(value: Tree): [string, Entry][] {
  if (value.kind === 'map') return [...value.entries]
  if (value.kind === 'list') return value.items.flatMap(mergeKey)
  throw new Refused(value.place, '<< takes a map, or a list of maps')
}

function scalarValue(value: unknown, source: string | undefined): string | number | boolean | null {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  return source ?? String(value)
}
