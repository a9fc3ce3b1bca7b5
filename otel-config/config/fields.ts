// Checks a part of the configuration against a schema, and says what is wrong in words for people.
import * as z from 'zod/mini'
import { isSecret } from '../../receivers/schema.ts'
import type { Complaint } from './complaints.ts'
import { didYouMean, didYouMeanOneOf } from './nearest.ts'
import { tellsOfSecret } from './secrets.ts'
import {
  type Entry,
  follow,
  isEmpty,
  type Mapping,
  replace,
  type Scalar,
  type Step,
  type Tree,
  toPlain,
} from './tree.ts'

type Issue = z.core.$ZodIssue

export type Checked<T> = {
  /** Undefined when there are complaints. */
  readonly value: T | undefined
  /** The part as it was understood: texts of variables in their place, empty values left out. */
  readonly tree: Tree
  readonly complaints: readonly Complaint[]
}

/** Names that may stand in an object; [] for other schemas. */
export function keysOf(schema: z.ZodMiniType): readonly string[] {
  const { def } = schema._zod
  return 'shape' in def && typeof def.shape === 'object' && def.shape !== null ? Object.keys(def.shape) : []
}

/**
 * A component's or section's body behind its key. An empty one means defaults. `path` leads to it from the root; `alsoKnown` are keys
 * that are checked elsewhere but may have been meant here.
 */
export function checkFields<T>(
  schema: z.ZodMiniType<T>,
  { keyPlace, value: body }: Entry,
  path: readonly string[],
  alsoKnown: readonly string[] = [],
): Checked<T> {
  const where = { path, written: { ...body, place: keyPlace }, schema, alsoKnown }
  let tree: Tree = isEmpty(body) ? ({ ...body, kind: 'map', entries: new Map() } as Mapping) : body
  for (;;) {
    const result = z.safeParse(schema, toPlain(tree), { reportInput: true, error: wording })
    if (result.success) return { value: result.data, tree, complaints: [] }
    const better = result.error.issues.reduce(understood, tree)
    if (better === tree) {
      const complaints = result.error.issues.flatMap((issue) => complaintsOf(issue, tree, where))
      return { value: undefined, tree, complaints }
    }
    tree = better
  }
}

/**
 * The Collector's two leniencies: where text is expected, a `${…}` gives its text as it was (0123 stays 0123), and a
 * key with nothing behind it is as good as absent.
 */
function understood(tree: Tree, issue: Issue): Tree {
  if (issue.code !== 'invalid_type' && issue.code !== 'invalid_union' && issue.code !== 'invalid_value') return tree
  const { tree: found } = follow(tree, issue.path)
  if (found === undefined || issue.path.length === 0) return tree
  const wantsText = issue.code !== 'invalid_type' || issue.expected === 'string'
  if (found.from !== undefined && wantsText && !(found.kind === 'scalar' && typeof found.value === 'string')) {
    const text: Scalar = { kind: 'scalar', value: found.from.text, place: found.place, from: found.from }
    return replace(tree, issue.path, text)
  }
  const isKey = typeof issue.path.at(-1) === 'string'
  return isEmpty(found) && isKey ? replace(tree, issue.path, undefined) : tree
}

type Where = {
  readonly path: readonly string[]
  /** As it was written, to point at. */
  readonly written: Tree
  readonly schema: z.ZodMiniType
  readonly alsoKnown: readonly string[]
}

function complaintsOf(issue: Issue, tree: Tree, { path, written, schema, alsoKnown }: Where): Complaint[] {
  const at = (steps: readonly Step[]) => [...path, ...steps.map(String)].join('::')
  if (issue.code === 'unrecognized_keys') {
    const known = [...keysOf(schemaAt(schema, issue.path)), ...(issue.path.length === 0 ? alsoKnown : [])]
    return issue.keys.map((key) => ({
      place: follow(tree, [...issue.path, key]).place,
      path: at(issue.path),
      message: `has invalid keys: ${key}${didYouMeanOneOf(key, known)}`,
    }))
  }
  const { tree: found } = follow(tree, issue.path)
  const { place } = follow(written, issue.path)
  const from = found?.from === undefined ? '' : ` (the value of ${found.from.expression})`
  const message = `${withGot(issue)}${from}`
  const isHidden = isSecret(schemaAt(schema, issue.path)) || tellsOfSecret(issue.path)
  return [{ place, path: at(issue.path), message: isHidden ? message.replace(/, got .*$/s, '') : message }]
}

/** Messages that schemas bring along often say what is expected, and not what was there. */
function withGot(issue: Issue): string {
  const { message } = issue
  if (!message.startsWith('expected') || message.includes(', got ') || issue.input === undefined) return message
  return `${message}, got ${described(issue.input)}`
}

/** The part of a schema that a path leads to; the last one that can be told when it gets lost in alternatives. */
export function schemaAt(schema: z.ZodMiniType, path: readonly Step[]): z.ZodMiniType {
  const inner = unwrapped(schema)
  const [step, ...rest] = path
  if (step === undefined) return inner
  const def = inner._zod.def as {
    shape?: Record<string, z.ZodMiniType>
    valueType?: z.ZodMiniType
    element?: z.ZodMiniType
  }
  const next = def.shape?.[String(step)] ?? def.valueType ?? def.element
  return next === undefined ? inner : schemaAt(next, rest)
}

/** Without what defaults, optionals and transformations lay around it. */
export function unwrapped(schema: z.ZodMiniType): z.ZodMiniType {
  const def = schema._zod.def as { innerType?: z.ZodMiniType; in?: z.ZodMiniType; out?: z.ZodMiniType; type: string }
  if (def.innerType !== undefined) return unwrapped(def.innerType)
  if (def.type !== 'pipe' || def.in === undefined) return schema
  const isBefore = def.in._zod.def.type === 'transform'
  return unwrapped(isBefore && def.out !== undefined ? def.out : def.in)
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  null: 'nothing',
}

/** For issues whose schema has no words of its own. */
function wording(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      const expected = `expected ${KINDS[issue.expected] ?? issue.expected}`
      if (issue.input === undefined) return `is required: ${expected}`
      return `${expected}, got ${described(issue.input)}${quotesTooMany(issue.expected, issue.input)}${bracketsTooFew(issue.expected, issue.input)}`
    }
    case 'invalid_value': {
      const values = issue.values.map(String)
      const got = `got ${described(issue.input)}${typeof issue.input === 'string' ? didYouMean(issue.input, values) : ''}`
      return `expected ${values.length === 1 ? values[0] : `one of ${values.join(', ')}`}, ${got}`
    }
    case 'too_small':
      return `expected ${bound(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)}`
    case 'too_big':
      return `expected ${bound(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)}`
    case 'not_multiple_of':
      return `expected a multiple of ${issue.divisor}`
    case 'invalid_format':
      return issue.pattern ? `expected text that matches ${issue.pattern}` : `expected ${issue.format}`
    case 'invalid_union':
      return alternatives(issue)
    case 'invalid_key':
      return 'this key is not possible here'
    default:
      return undefined
  }
}

function bound(origin: string, words: string, limit: number | bigint): string {
  const what = origin === 'string' ? ' characters' : origin === 'array' || origin === 'set' ? ' items' : ''
  return `${words} ${limit}${what}`
}

function alternatives(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  const errors = issue.errors as readonly (readonly Issue[])[]
  // The alternative of the right type knows best what is wrong.
  const isOther = ({ code, path }: Issue) => path.length === 0 && (code === 'invalid_type' || code === 'invalid_value')
  const inside = errors.find((issues) => issues.length > 0 && !issues.some(isOther))
  if (inside?.[0] !== undefined) return inside[0].message
  const wanted = errors.map((issues) => issues[0]?.message.replace(/^expected |, got .*$/g, '') ?? 'something else')
  return `expected ${[...new Set(wanted)].join(' or ')}, got ${described(issue.input)}`
}

/** `"10"` where a number is expected is the commonest mistake of all. */
function quotesTooMany(expected: string, input: unknown): string {
  if (typeof input !== 'string') return ''
  const isNumber =
    (expected === 'number' || expected === 'int') && input.trim() !== '' && Number.isFinite(Number(input))
  const isBoolean = expected === 'boolean' && (input === 'true' || input === 'false')
  return isNumber || isBoolean ? ' (remove the quotes)' : ''
}

const bracketsTooFew = (expected: string, input: unknown): string =>
  expected === 'array' && typeof input === 'string' && /^[\w./-]{1,40}$/.test(input) ? ` (write [${input}])` : ''

/** A value in a few words: texts in quotes, cut to what fits a line. */
export function described(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text
}
