// Checks the section `service`: which extensions and pipelines run, and that everything they name is there.
import { type Check, mapping, type Section } from './checking.ts'
import type { Config, Pipeline } from './config.ts'
import { checkFields } from './fields.ts'
import { idText, parseId } from './ids.ts'
import { indentHint } from './indent.ts'
import { didYouMean, didYouMeanOneOf } from './nearest.ts'
import { pipelineSettings, telemetrySettings } from './schema.ts'
import { type Entry, type List, replace } from './tree.ts'

/** Ids that a reference which is not there is compared with. */
const MOST_COMPARED = 500
export const SERVICE_KEYS = ['extensions', 'pipelines', 'telemetry']
const SIGNALS = ['metrics', 'logs', 'traces', 'profiles']
const KINDS = ['receivers', 'processors', 'exporters'] as const

type Sections = Readonly<Record<'receivers' | 'processors' | 'exporters' | 'extensions', Section>>

export function checkService(state: Check, sections: Sections): Config['service'] | undefined {
  const service = mapping(state, ['service'])
  const whole: Entry = { keyPlace: state.tree.place, value: state.tree }
  const root = state.tree.kind === 'map' ? (state.tree.entries.get('service') ?? whole) : whole
  for (const [key, entry] of service?.entries ?? []) {
    if (SERVICE_KEYS.includes(key)) continue
    const hint = indentHint(key, [['pipelines', SIGNALS]]) || didYouMeanOneOf(key, SERVICE_KEYS)
    state.complain(entry, ['service'], `has invalid keys: ${key}${hint}`)
  }
  const extensions = checkExtensions(state, sections, service?.entries.get('extensions'))
  const pipelines = checkPipelines(state, sections, root)
  const telemetryEntry = service?.entries.get('telemetry') ?? { ...root, value: emptyMap(root) }
  const telemetry = checkFields(telemetrySettings, telemetryEntry, ['service', 'telemetry'])
  state.add(telemetry.complaints)
  if (service?.entries.has('telemetry')) state.tree = replace(state.tree, ['service', 'telemetry'], telemetry.tree)
  warnOfUnused(state, sections, extensions, pipelines)
  return telemetry.value && { extensions, pipelines, telemetry: telemetry.value }
}

const emptyMap = (entry: Entry) => ({ kind: 'map', entries: new Map(), place: entry.keyPlace }) as const

function checkExtensions(state: Check, sections: Sections, entry: Entry | undefined): string[] {
  if (entry === undefined || (entry.value.kind === 'scalar' && entry.value.value === null)) return []
  const path = ['service', 'extensions']
  if (entry.value.kind !== 'list') {
    state.complain(entry, path, 'expected a list of extensions, such as [host]')
    return []
  }
  const ids = references(state, sections, 'extensions', path, entry.value)
  const hosts = ids.filter((id) => id.split('/')[0] === 'host')
  if (hosts.length > 1) state.complain(entry, path, `there is one machine: keep one of ${hosts.join(', ')}`)
  return ids
}

function checkPipelines(state: Check, sections: Sections, root: Entry): Map<string, Pipeline> {
  const pipelines = new Map<string, Pipeline>()
  const written = mapping(state, ['service', 'pipelines'])
  if (written === undefined || written.entries.size === 0) {
    const service = root.value.kind === 'map' ? root.value.entries.get('pipelines') : undefined
    if (service === undefined || service.value.kind !== 'list') {
      state.complain(service ?? root, ['service', 'pipelines'], 'service must have at least one pipeline')
    }
    return pipelines
  }
  let above: readonly (readonly [string, readonly string[]])[] = []
  for (const [key, entry] of written.entries) {
    const path = ['service', 'pipelines', key]
    const id = parseId(key)
    if (typeof id === 'string') state.complain(entry, path.slice(0, 2), id)
    else if (!SIGNALS.includes(id.type)) {
      const hint = indentHint(key, above) || didYouMean(id.type, SIGNALS) || ' (there is: metrics)'
      state.complain(entry, path, `unknown signal "${id.type}"${hint}`)
    } else if (id.type !== 'metrics') {
      state.complain(entry, path, `there are no components for ${id.type} yet: only metrics pipelines can run`)
    } else {
      above = [[key, KINDS]]
      const pipeline = checkPipeline(state, sections, path, entry)
      if (pipeline !== undefined) pipelines.set(idText(id), pipeline)
    }
  }
  return pipelines
}

function checkPipeline(state: Check, sections: Sections, path: readonly string[], entry: Entry): Pipeline | undefined {
  const found = checkFields(pipelineSettings, entry, path)
  state.add(found.complaints)
  if (found.value === undefined || found.tree.kind !== 'map') return undefined
  const lists: Record<(typeof KINDS)[number], string[]> = { receivers: [], processors: [], exporters: [] }
  for (const kind of KINDS) {
    const list = found.tree.entries.get(kind)
    if (list?.value.kind === 'list') lists[kind] = references(state, sections, kind, path, list.value)
    if (kind !== 'processors' && (list?.value.kind !== 'list' || list.value.items.length === 0)) {
      state.complain(list ?? entry, path, `must have at least one ${kind.slice(0, -1)}`)
    }
  }
  return lists
}

/** The ids of a list, each once. */
function references(
  state: Check,
  sections: Sections,
  kind: keyof Sections,
  path: readonly string[],
  list: List,
): string[] {
  const word = kind.slice(0, -1)
  const ids = new Set<string>()
  for (const item of list.items) {
    const entry: Entry = { keyPlace: item.place, value: item }
    const text = item.kind === 'scalar' && typeof item.value === 'string' ? item.value : undefined
    const id = text === undefined ? 'expected the id of a component' : parseId(text)
    if (typeof id === 'string') {
      // Pipelines' lists have been through their schema, which has said so already.
      if (kind === 'extensions' || text !== undefined) state.complain(entry, path, id)
      continue
    }
    const name = idText(id)
    if (!sections[kind].ids.has(name)) {
      const message = `references ${word} "${name}" which is not configured${remedy(sections, kind, name, id.type)}`
      state.complain(entry, path, message)
    } else if (ids.has(name) && kind === 'processors') {
      state.complain(entry, path, `references ${word} "${name}" multiple times`)
    }
    ids.add(name)
  }
  return [...ids]
}

function remedy(sections: Sections, kind: keyof Sections, name: string, type: string): string {
  // Each of many against each of many would take minutes.
  const near = sections[kind].ids.size > MOST_COMPARED ? '' : didYouMean(name, sections[kind].ids.keys())
  if (near !== '') return near
  const elsewhere = Object.entries(sections).find(([other, { ids }]) => other !== kind && ids.has(name))
  if (elsewhere !== undefined) return ` (there is one under ${elsewhere[0]})`
  if (sections[kind].types.includes(type)) return ` (add ${name}: under ${kind})`
  return didYouMean(type, sections[kind].types) || ` (define it under ${kind}: [${sections[kind].types.join(' ')}])`
}

function warnOfUnused(
  state: Check,
  sections: Sections,
  extensions: readonly string[],
  pipelines: Map<string, Pipeline>,
) {
  for (const kind of KINDS) {
    const used = new Set(Array.from(pipelines.values(), (pipeline) => pipeline[kind]).flat())
    for (const [id, entry] of sections[kind].ids) {
      if (!used.has(id)) state.warn(entry, [kind, id], 'is in no pipeline: checked, but not started')
    }
  }
  for (const [id, entry] of sections.extensions.ids) {
    if (!extensions.includes(id)) state.warn(entry, ['extensions', id], 'is not in service::extensions: not started')
  }
}
