// Turns the tree of a configuration into settings that the graph can be built from, or into complaints.
import type * as z from 'zod/mini'
import type { ReceiverDefinition } from '../../receivers/receiver.ts'
import type { Components } from '../components.ts'
import { type Check, type CheckComponent, mapping, type Section } from './checking.ts'
import type { Complaint } from './complaints.ts'
import type { Config } from './config.ts'
import { checkFields, keysOf } from './fields.ts'
import { idText, parseId } from './ids.ts'
import { indentHint } from './indent.ts'
import { didYouMean, didYouMeanOneOf } from './nearest.ts'
import { checkReceiver } from './receiver.ts'
import { receiverSettings } from './schema.ts'
import { checkService, SERVICE_KEYS } from './service.ts'
import { type Entry, isEmpty, replace, type Tree } from './tree.ts'

export type CheckedConfig = {
  /** Undefined when there are complaints. */
  readonly config: Config | undefined
  /** The configuration as it was understood. */
  readonly tree: Tree
  readonly complaints: readonly Complaint[]
  readonly warnings: readonly Complaint[]
}

const KINDS = ['receivers', 'processors', 'exporters', 'extensions'] as const
const SECTIONS: readonly string[] = [...KINDS.slice(0, 3), 'connectors', 'extensions', 'service']

type Definition = { readonly name: string; readonly deprecatedName?: string; readonly config: z.ZodMiniType }

/** Everything that is wrong with a tree, in no order. */
export function check(root: Tree | undefined, components: Components): CheckedConfig {
  const complaints: Complaint[] = []
  const warnings: Complaint[] = []
  const nowhere = { source: 'configuration', order: 0 }
  const tree: Tree = root ?? { kind: 'map', entries: new Map(), place: nowhere }
  const at = (list: Complaint[]) => (entry: Entry, path: readonly string[], message: string) => {
    list.push({ place: entry.keyPlace, path: path.join('::'), message })
  }
  const state: Check = {
    tree,
    complain: at(complaints),
    warn: at(warnings),
    add: (found) => complaints.push(...found),
  }
  const whole: Entry = { keyPlace: tree.place, value: tree }
  if (isEmpty(root) || (root?.kind === 'map' && root.entries.size === 0)) {
    state.complain(whole, [], 'empty configuration file: begin with what leadline print-config prints')
    return { config: undefined, tree, complaints, warnings }
  }
  if (tree.kind !== 'map') {
    state.complain(whole, [], `expected a map of sections (${SECTIONS.join(', ')})`)
    return { config: undefined, tree, complaints, warnings }
  }
  const below = [['service', SERVICE_KEYS] as const, ...KINDS.map((kind) => [kind, typesOf(components[kind])] as const)]
  for (const [key, entry] of tree.entries) {
    if (SECTIONS.includes(key)) continue
    const hint = indentHint(key, below) || didYouMeanOneOf(key, SECTIONS)
    state.complain(entry, [], `has invalid keys: ${key}${hint}`)
  }

  const receivers = section(state, 'receivers', components.receivers, checkReceiver)
  const processors = section(state, 'processors', components.processors, checkOwn)
  const exporters = section(state, 'exporters', components.exporters, checkOwn)
  const extensions = section(state, 'extensions', components.extensions, checkOwn)
  section<Definition, unknown>(state, 'connectors', [], checkOwn)
  if (receivers.ids.size === 0) state.complain(whole, [], 'no receiver configuration specified in config')
  if (exporters.ids.size === 0) state.complain(whole, [], 'no exporter configuration specified in config')
  const service = checkService(state, { receivers, processors, exporters, extensions })

  const config =
    complaints.length > 0 || service === undefined
      ? undefined
      : {
          receivers: receivers.checked,
          processors: processors.checked,
          exporters: exporters.checked,
          extensions: extensions.checked,
          service,
        }
  return { config, tree: state.tree, complaints, warnings }
}

function section<D extends Definition, T>(
  state: Check,
  name: string,
  definitions: readonly D[],
  checkComponent: CheckComponent<D, T>,
): Section<T> {
  const ids = new Map<string, Entry>()
  const checked = new Map<string, T>()
  const types = typesOf(definitions)
  const whole = mapping(state, [name])
  const understood = new Map(whole?.entries)
  let above: readonly (readonly [string, readonly string[]])[] = []
  for (const [written, entry] of whole?.entries ?? []) {
    const id = parseId(written)
    if (typeof id === 'string') {
      state.complain(entry, [name], id)
      continue
    }
    if (ids.has(idText(id))) state.complain(entry, [name, written], `duplicate id "${idText(id)}"`)
    ids.set(idText(id), entry)
    const definition = definitions.find((one) => one.name === id.type || one.deprecatedName === id.type)
    if (definition === undefined) {
      const values = types.length === 0 ? `there are no ${name} yet` : `valid values: [${types.join(' ')}]`
      const hint = indentHint(written, above) || didYouMean(id.type, types)
      const message = `unknown type: "${id.type}" for id: "${idText(id)}" (${values})${hint}`
      state.complain(entry, [name], message)
      continue
    }
    above = [[written, settingsOf(definition)]]
    if (definition.name !== id.type) {
      state.warn(entry, [name, written], `"${id.type}" alias is deprecated; use "${definition.name}" instead`)
    }
    const { value, body } = checkComponent(state, definition, [name, written], entry)
    understood.set(written, { ...entry, value: body })
    if (value !== undefined) checked.set(idText(id), value)
  }
  // All at once: a copy of the section for each of them would take seconds of ten thousands.
  if (whole !== undefined) state.tree = replace(state.tree, [name], { ...whole, entries: understood })
  return { ids, checked, types }
}

const typesOf = (definitions: readonly Definition[]) => definitions.map(({ name }) => name).sort()

/** Keys that may stand in its body. */
function settingsOf(definition: Definition | ReceiverDefinition): readonly string[] {
  const shared = 'metrics' in definition ? keysOf(receiverSettings(definition)) : []
  return [...shared, ...keysOf(definition.config)]
}

/** Checks the body of a component that has no settings but its own. */
function checkOwn<D extends Definition>(state: Check, definition: D, path: readonly string[], entry: Entry) {
  const found = checkFields(definition.config, entry, path)
  state.add(found.complaints)
  const body = isEmpty(entry.value) ? entry.value : found.tree
  return { body, value: found.complaints.length > 0 ? undefined : { definition, own: found.value } }
}
