// Where configurations and the values in `${…}` come from: files, variables and text on the command line.
import { closeSync, openSync, readSync } from 'node:fs'
import { relative } from 'node:path'
import { merge } from './merge.ts'
import { didYouMean } from './nearest.ts'
import { type Parsed, parseYaml, type Source } from './parse.ts'
import { SECRET_WORD } from './secrets.ts'
import type { Entry, Place, Tree } from './tree.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The Collector's limit. */
const MAX_SOURCES = 100
/** More than the longest text that is read (parse.ts), in bytes. */
const MAX_FILE_BYTES = 4 * 1024 * 1024
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]+):(.*)$/s
const VARIABLE = /^[a-zA-Z_][a-zA-Z0-9_]*$/

/** What a source gave: text to be read as YAML, nothing (an unset variable), or why there is none. */
export type Retrieved =
  | { readonly text: string; readonly name: string; readonly scheme: 'file' | 'env' | 'yaml' }
  | { readonly unset: string }
  | { readonly error: string }

/** Reads `file:…`, `env:…` or `yaml:…`. Errors are for people and end in what to do. */
export function retrieve(uri: string, environment: Environment): Retrieved {
  const [, scheme, rest = ''] = SCHEME.exec(uri) ?? [undefined, 'file', uri]
  if (scheme === 'file') return readFile(rest)
  if (scheme === 'yaml') return { scheme, text: rest, name: shortened(uri) }
  if (scheme === 'env') return readVariable(rest, environment)
  if (scheme === 'http' || scheme === 'https') {
    return {
      error: `scheme "${scheme}" is not supported for uri "${uri}": what runs as root takes no orders from a network; download the file and give its path`,
    }
  }
  const hint = didYouMean(scheme ?? '', ['file', 'env', 'yaml'])
  return { error: `scheme "${scheme}" is not supported for uri "${uri}"${hint}` }
}

/** The first line of what was typed, as a name for it, and nothing of what comes after the name of a secret. */
export function shortened(typed: string): string {
  const line = typed.split('\n', 1)[0] ?? ''
  const secretAt = line.search(SECRET_WORD)
  const told = secretAt < 0 ? line : line.slice(0, secretAt + line.slice(secretAt).search(/[^\w:.]|: |$/))
  return told.length > 60 || told !== typed ? `${told.slice(0, 57)}...` : told
}

function readFile(path: string): Retrieved {
  try {
    const bytes = readStart(path)
    if (bytes.length > MAX_FILE_BYTES) return { error: `unable to read the file file:${path}: ${TOO_LARGE}` }
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const near = relative(process.cwd(), path)
    return { scheme: 'file', text, name: near.startsWith('..') || near === '' ? path : near }
  } catch (error) {
    const reason = error instanceof TypeError ? 'it is not UTF-8 text' : systemReason(error)
    return { error: `unable to read the file file:${path}: ${reason}` }
  }
}

const TOO_LARGE = 'it is larger than 4 MiB: name a configuration file'

/** What `readFileSync` gives, but of a device that never ends (/dev/zero) only what shows that it is too large. */
function readStart(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const chunks: Buffer[] = []
    for (let length = 0; length <= MAX_FILE_BYTES; ) {
      const chunk = Buffer.alloc(64 * 1024)
      const count = readSync(file, chunk)
      if (count === 0) break
      chunks.push(chunk.subarray(0, count))
      length += count
    }
    return Buffer.concat(chunks)
  } finally {
    closeSync(file)
  }
}

function systemReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT') return 'no such file or directory: check the path'
  if (code === 'EACCES') return 'permission denied: make it readable, or run as root'
  if (code === 'EISDIR') return 'it is a directory: name a file in it'
  return error instanceof Error ? error.message : String(error)
}

function readVariable(rest: string, environment: Environment): Retrieved {
  const at = rest.indexOf(':-')
  const name = at < 0 ? rest : rest.slice(0, at)
  if (!VARIABLE.test(name)) {
    return { error: `environment variable "${name}" has invalid name: must match regex ${VARIABLE.source}` }
  }
  const value = environment[name] ?? (at < 0 ? undefined : rest.slice(at + 2))
  return value === undefined ? { unset: name } : { scheme: 'env', text: value, name: `env:${name}` }
}

export type Loaded = { readonly trees: readonly Tree[]; readonly complaints: Parsed['complaints'] }

/** All `--config` in their order, then all `--set`. */
export function readSources(uris: readonly string[], sets: readonly string[], environment: Environment): Loaded {
  const trees: Tree[] = []
  const complaints: Parsed['complaints'][number][] = []
  const take = (parsed: Parsed) => {
    complaints.push(...parsed.complaints)
    if (parsed.tree !== undefined) trees.push(parsed.tree)
  }
  const refuse = (place: Place, message: string) => complaints.push({ place, path: '', message })

  if (uris.length > MAX_SOURCES) refuse({ source: '--config', order: 0 }, `at most ${MAX_SOURCES} sources`)
  for (const [order, uri] of uris.slice(0, MAX_SOURCES).entries()) {
    const got = retrieve(uri, environment)
    const typed: Place = { source: 'name' in got ? got.name : `--config ${shortened(uri)}`, order }
    if ('error' in got) refuse(typed, got.error)
    else if ('unset' in got) refuse(typed, `environment variable "${got.unset}" is not set`)
    else {
      const isLine = uri.startsWith('yaml:') && !got.text.includes('\n')
      const source: Source = isLine ? { name: got.name, order, place: typed } : { name: got.name, order }
      take(unflatten(parseYaml(got.text, source), uri.startsWith('yaml:')))
    }
  }
  for (const [index, set] of sets.entries()) {
    const place: Place = { source: `--set ${shortened(set)}`, order: uris.length + index }
    const equals = set.indexOf('=')
    if (equals <= 0) refuse(place, 'missing equal sign: write --set receivers.cgroup.timeout=5s')
    else {
      const text = `${set.slice(0, equals).replaceAll('.', '::')}: ${set.slice(equals + 1)}`
      take(unflatten(parseYaml(text, { name: place.source, order: place.order, place }), true))
    }
  }
  return { trees, complaints }
}

/** Keys such as `a::b` at the top become maps in maps: the Collector's way to say a nested key on one line. */
function unflatten(parsed: Parsed, wanted: boolean): Parsed {
  if (!wanted || parsed.tree?.kind !== 'map') return parsed
  let tree: Tree = { ...parsed.tree, entries: new Map<string, Entry>() }
  for (const [key, { keyPlace, value }] of parsed.tree.entries) {
    const nested = key
      .split('::')
      .reduceRight<Tree>(
        (inner, part) => ({ kind: 'map', entries: new Map([[part, { keyPlace, value: inner }]]), place: keyPlace }),
        value,
      )
    tree = merge(tree, nested)
  }
  return { ...parsed, tree }
}
