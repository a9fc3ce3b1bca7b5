// `leadline print-config`: the configuration as it is understood, merged and with its variables replaced.
import type { Components } from '../components.ts'
import { load, readUnchecked } from '../config/load.ts'
import { print } from '../config/print.ts'
import { type Flags, UsageError } from './arguments.ts'
import { wantedBy } from './built_in.ts'
import type { Terminal } from './terminal.ts'

/** Throws a UsageError or a ConfigError. */
export function printConfig(flags: Flags, components: Components, terminal: Terminal): number {
  const { format, mode, validate } = flags
  if (format !== 'yaml' && format !== 'json') throw new UsageError(`unknown --format "${format}": yaml or json`)
  if (mode !== 'redacted' && mode !== 'unredacted') {
    throw new UsageError(`unknown --mode "${mode}": redacted or unredacted`)
  }
  if (validate !== 'true' && validate !== 'false') throw new UsageError('--validate takes true or false')
  const wanted = wantedBy(flags, terminal.environment)
  const tree = validate === 'true' ? load(wanted, components).tree : readUnchecked(wanted)
  terminal.print(print(tree, components, { format, mode }))
  return 0
}
