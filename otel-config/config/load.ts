// From `--config` and `--set` to a checked configuration, or to everything that is wrong with it.
import type { Components } from '../components.ts'
import { type CheckedConfig, check } from './check.ts'
import { type Complaint, ConfigError, inFileOrder } from './complaints.ts'
import type { Config } from './config.ts'
import { expand } from './expand.ts'
import { merge } from './merge.ts'
import { type Environment, readSources } from './sources.ts'
import type { Tree } from './tree.ts'

export type Wanted = {
  /** Files, or URIs: `file:…`, `env:…`, `yaml:…`. Later ones win. */
  readonly configs: readonly string[]
  /** `receivers.cgroup.timeout=5s`; they win over all configs. */
  readonly sets: readonly string[]
  readonly environment: Environment
}

export type LoadedConfig = {
  readonly config: Config
  readonly tree: Tree
  /** In file order. */
  readonly warnings: readonly Complaint[]
}

/** Throws a ConfigError that holds all complaints. */
export function load(wanted: Wanted, components: Components): LoadedConfig {
  const { config, tree, complaints, warnings } = examine(wanted, components)
  if (config === undefined) throw new ConfigError(complaints)
  return { config, tree, warnings: inFileOrder(warnings) }
}

/** Everything there is to say about a configuration. */
export function examine(wanted: Wanted, components: Components): CheckedConfig {
  const merged = resolve(wanted)
  // What could not be read at all would only lead to complaints about what is missing then.
  if (merged.complaints.length > 0) return { config: undefined, ...merged, warnings: [] }
  const expanded = expand(merged.tree, wanted.environment)
  const checked = check(expanded.tree, components)
  const failed = new Set(expanded.complaints.map(({ place }) => place))
  const complaints = [...expanded.complaints, ...checked.complaints.filter(({ place }) => !failed.has(place))]
  return {
    config: complaints.length > 0 ? undefined : checked.config,
    tree: checked.tree,
    complaints,
    warnings: [...expanded.warnings, ...checked.warnings],
  }
}

function resolve({ configs, sets, environment }: Wanted): { tree: Tree; complaints: readonly Complaint[] } {
  const { trees, complaints } = readSources(configs, sets, environment)
  const nothing: Tree = {
    kind: 'scalar',
    value: null,
    place: { source: configs[0]?.split('\n', 1)[0] ?? 'configuration', order: 0 },
  }
  const [first, ...others] = trees
  return { tree: first === undefined ? nothing : others.reduce(merge, first), complaints }
}

/** Merged and with its `${…}` replaced, but not checked. Throws a ConfigError for what cannot be read. */
export function readUnchecked(wanted: Wanted): Tree {
  const merged = resolve(wanted)
  const expanded = expand(merged.tree, wanted.environment)
  const complaints = [...merged.complaints, ...expanded.complaints]
  if (complaints.length > 0) throw new ConfigError(complaints)
  return expanded.tree
}
