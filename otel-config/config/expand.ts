// Replaces `${env:VAR:-default}`, `${file:…}` and `${yaml:…}` in values, by the Collector's rules (confmap/expand.go):
// innermost first, again and again, `$$` stands for `$`. Keys are not touched.
import type { Complaint } from './complaints.ts'
import { parseYaml } from './parse.ts'
import { type Environment, retrieve } from './sources.ts'
import type { Entry, Place, Tree } from './tree.ts'

/** Of one value. The Collector goes on to 1000, which takes seconds where a round has much to read. */
const MAX_ROUNDS = 100
/** Of a whole configuration, so that variables that hold themselves many times come to an end soon as well. */
const MAX_EXPANSIONS = 2000
const MAX_TEXT_CHARACTERS = 1024 * 1024
const MAX_DEPTH = 100

export type Expanded = {
  readonly tree: Tree
  readonly complaints: readonly Complaint[]
  /** Variables that are not set and have no default. */
  readonly warnings: readonly Complaint[]
}

class Refused extends Error {}
/** Nothing more is expanded after it. */
class Exhausted extends Refused {}

export function expand(root: Tree, environment: Environment): Expanded {
  const complaints: Complaint[] = []
  const warnings: Complaint[] = []
  let expansions = 0
  let readCharacters = 0
  let isExhausted = false

  function visit(tree: Tree, path: readonly string[], place: Place, rounds: number): Tree {
    if (tree.kind === 'list') {
      const items = tree.items.map((item, at) => visit(item, [...path, String(at)], item.place, rounds))
      return { ...tree, items }
    }
    if (tree.kind === 'map') {
      const entries = new Map<string, Entry>()
      for (const [key, { keyPlace, value }] of tree.entries) {
        entries.set(key, { keyPlace, value: visit(value, [...path, key], keyPlace, rounds) })
      }
      return { ...tree, entries }
    }
    if (typeof tree.value !== 'string' || isExhausted) return tree
    try {
      if (path.length > MAX_DEPTH) throw new Exhausted('too many recursive expansions')
      return expandText(tree.value, tree, path, place, rounds)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      isExhausted ||= error instanceof Exhausted
      complaints.push({ place, path: path.join('::'), message: error.message })
      return { ...tree, value: null }
    }
  }

  function expandText(text: string, tree: Tree, path: readonly string[], place: Place, rounds: number): Tree {
    let from = tree.from
    for (let round = rounds; ; round++) {
      const found = findExpression(text)
      if (found === undefined) {
        const original = from && { ...from, text: withoutEscapes(from.text) }
        return { kind: 'scalar', value: withoutEscapes(text), place: tree.place, ...(original && { from: original }) }
      }
      if (round >= MAX_ROUNDS) throw new Refused('too many recursive expansions')
      if (++expansions > MAX_EXPANSIONS) throw new Exhausted('too many recursive expansions')
      const expression = text.slice(found.start, found.end)
      const isWhole = expression.length === text.length
      const got = get(expression)
      if ('unset' in got) {
        const message = `environment variable "${got.unset}" is not set: the value is empty`
        warnings.push({ place, path: path.join('::'), message })
        if (isWhole) return { kind: 'scalar', value: null, place: tree.place }
      }
      const replacement = 'unset' in got ? '' : got.text
      readCharacters += replacement.length
      if (readCharacters > MAX_TEXT_CHARACTERS) throw new Exhausted('expands to more than 1 MiB of text')
      if (isWhole && 'name' in got) {
        const isFile = got.scheme === 'file'
        const source = { name: got.name, order: place.order, ...(isFile ? {} : { place: tree.place }) }
        const parsed = parseYaml(replacement, source)
        const [problem] = parsed.complaints
        if (problem !== undefined && isFile) {
          complaints.push(...parsed.complaints)
          return { kind: 'scalar', value: null, place: tree.place }
        }
        from = { expression, text: isFile ? replacement.replace(/\n$/, '') : replacement }
        // Text that is not YAML is just text: a password may hold anything.
        const value: Tree =
          problem === undefined
            ? (parsed.tree ?? { kind: 'scalar', value: null, place: tree.place })
            : { kind: 'scalar', value: replacement, place: tree.place }
        if (value.kind !== 'scalar' || typeof value.value !== 'string') {
          const inner = visit(value, path, place, round + 1)
          return { ...inner, from: { expression, text: withoutEscapes(from.text) } }
        }
        text = value.value
      } else text = text.slice(0, found.start) + replacement + text.slice(found.end)
      if (text.length > MAX_TEXT_CHARACTERS) throw new Refused('expands to more than 1 MiB of text')
    }
  }

  function get(expression: string) {
    const inner = expression.slice(2, -1)
    const uri = inner.includes(':') ? inner : `env:${inner}`
    if (uri.includes('$')) throw new Refused(`the uri "${uri}" contains unsupported characters ('$')`)
    const [, variable] = /^([a-zA-Z_]\w*):-/.exec(uri) ?? []
    if (variable !== undefined) throw new Refused(`scheme "${variable}" is not supported: write \${env:${uri}}`)
    const got = retrieve(uri, environment)
    if ('error' in got) throw new Refused(got.error)
    return got
  }

  return { tree: visit(root, [], root.place, 0), complaints, warnings }
}

const withoutEscapes = (text: string) => text.replaceAll('$$', () => '$')

/** The first `${…}` that has no other inside and whose `$` is not escaped by one before it. */
function findExpression(text: string): { start: number; end: number } | undefined {
  for (let from = 0; ; ) {
    const close = text.indexOf('}', from)
    if (close < 0) return undefined
    const open = text.slice(from, close).lastIndexOf('${')
    if (open >= 0) {
      const start = from + open
      let dollars = 0
      while (text[start - 1 - dollars] === '$') dollars++
      if (dollars % 2 === 0) return { start, end: close + 1 }
    }
    from = close + 1
  }
}
