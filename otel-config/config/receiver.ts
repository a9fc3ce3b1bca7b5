// Checks the body of a receiver: the settings that every receiver has, then its own.
import type { ReceiverDefinition } from '../../receivers/receiver.ts'
import type { Check, CheckComponent } from './checking.ts'
import type { ReceiverConfig } from './config.ts'
import { checkFields, keysOf } from './fields.ts'
import { type ReceiverSettings, receiverSettings } from './schema.ts'
import { type Entry, isEmpty, type Mapping, type Tree } from './tree.ts'

/** Below this we would be busy with ourselves. */
const MIN_INTERVAL_MS = 10

export const checkReceiver: CheckComponent<ReceiverDefinition, ReceiverConfig> = (state, definition, path, entry) => {
  const schema = receiverSettings(definition)
  const sharedKeys = keysOf(schema)
  const { shared, own } = split(entry.value, sharedKeys)
  const settings = checkFields<ReceiverSettings>(schema, { ...entry, value: shared }, path)
  const body = checkFields(definition.config, { ...entry, value: own }, path, sharedKeys)
  state.add(settings.complaints)
  state.add(body.complaints)
  const isInRange = settings.value !== undefined && checkRanges(state, settings.value, path, entry)
  const understood = isEmpty(entry.value) ? entry.value : joined(entry.value, settings.tree, body.tree)
  const isFine = isInRange && body.complaints.length === 0
  const value = isFine && settings.value ? { definition, settings: settings.value, own: body.value } : undefined
  return { value, body: understood }
}

function split(body: Tree, sharedKeys: readonly string[]): { shared: Tree; own: Tree } {
  const none: Mapping = { kind: 'map', entries: new Map(), place: body.place }
  if (body.kind !== 'map') return { shared: none, own: body }
  const entries = [...body.entries]
  return {
    shared: { ...none, entries: new Map(entries.filter(([key]) => sharedKeys.includes(key))) },
    own: { ...body, entries: new Map(entries.filter(([key]) => !sharedKeys.includes(key))) },
  }
}

/** In the order in which they were written. */
function joined(body: Tree, shared: Tree, own: Tree): Tree {
  if (body.kind !== 'map' || shared.kind !== 'map' || own.kind !== 'map') return body
  const entries = new Map<string, Entry>()
  for (const key of body.entries.keys()) {
    const entry = shared.entries.get(key) ?? own.entries.get(key)
    if (entry !== undefined) entries.set(key, entry)
  }
  return { ...body, entries }
}

/** In the Collector's words, which name the key in quotes. */
function checkRanges(state: Check, settings: ReceiverSettings, path: readonly string[], entry: Entry): boolean {
  const keyAt = (key: string): Entry => (entry.value.kind === 'map' ? entry.value.entries.get(key) : undefined) ?? entry
  let isFine = true
  const complain = (key: string, message: string) => {
    isFine = false
    state.complain(keyAt(key), path, `"${key}": ${message}`)
  }
  const interval = settings.collection_interval
  if (interval <= 0) complain('collection_interval', 'requires positive value')
  else if (interval < MIN_INTERVAL_MS) complain('collection_interval', `requires at least ${MIN_INTERVAL_MS}ms`)
  if (settings.initial_delay < 0) complain('initial_delay', 'requires positive value or 0')
  if (settings.timeout < 0) complain('timeout', 'requires positive value')
  return isFine
}
