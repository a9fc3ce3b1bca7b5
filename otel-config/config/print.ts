// A configuration as text again, so that it can be fed back in; secrets are left out unless asked for.
import { stringify } from 'yaml'
import type * as z from 'zod/mini'
import { isSecret } from '../../receivers/schema.ts'
import type { Components } from '../components.ts'
import { schemaAt } from './fields.ts'
import { tellsOfSecret } from './secrets.ts'
import type { Step, Tree } from './tree.ts'

const REDACTED = '[REDACTED]'

export type PrintOptions = { readonly format: 'yaml' | 'json'; readonly mode: 'redacted' | 'unredacted' }

export function print(tree: Tree, components: Components, { format, mode }: PrintOptions): string {
  const hides = (path: readonly Step[]) => mode === 'redacted' && isHidden(path, components)
  const plain = printable(tree, [], hides)
  return format === 'json'
    ? `${JSON.stringify(plain, undefined, 2)}\n`
    : stringify(plain, { lineWidth: 0, nullStr: '' })
}

/** A `$` is written `$$`, because what is printed is a configuration, and is read as one. */
function printable(tree: Tree, path: readonly Step[], hides: (path: readonly Step[]) => boolean): unknown {
  if (tree.kind === 'list') return tree.items.map((item, at) => printable(item, [...path, at], hides))
  if (tree.kind === 'map') {
    const entries = Array.from(tree.entries, ([key, { value }]) => [key, printable(value, [...path, key], hides)])
    return Object.fromEntries(entries)
  }
  if (tree.value !== null && hides(path)) return REDACTED
  return typeof tree.value === 'string' ? tree.value.replaceAll('$', () => '$$') : tree.value
}

function isHidden([section, id, ...path]: readonly Step[], components: Components): boolean {
  if (tellsOfSecret(path)) return true
  const schema = schemaOf(String(section), String(id), components)
  return schema !== undefined && isSecret(schemaAt(schema, path))
}

function schemaOf(section: string, id: string, components: Components): z.ZodMiniType | undefined {
  const definitions = components[section as keyof Components] as
    | readonly { name: string; deprecatedName?: string; config: z.ZodMiniType }[]
    | undefined
  const type = id.split('/')[0]?.trim()
  return definitions?.find(({ name, deprecatedName }) => name === type || deprecatedName === type)?.config
}
