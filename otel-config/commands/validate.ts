// `leadline validate`: everything that is wrong with a configuration, and nothing when it is fine.
import type { Components } from '../components.ts'
import { bounded, type Complaint, inFileOrder, listed } from '../config/complaints.ts'
import type { Config } from '../config/config.ts'
import { examine } from '../config/load.ts'
import type { Flags } from './arguments.ts'
import { wantedBy } from './built_in.ts'
import type { Terminal } from './terminal.ts'

export function validate(flags: Flags, components: Components, terminal: Terminal): number {
  if (flags.config.length === 0 && flags.set.length === 0) {
    terminal.error('Error: at least one config flag must be provided: leadline validate --config FILE\n')
    return 1
  }
  const wanted = wantedBy(flags, terminal.environment)
  const { config, complaints, warnings } = examine(wanted, components)
  if (flags.json) {
    const report = { valid: config !== undefined, problems: asJson(complaints), warnings: asJson(warnings) }
    terminal.print(`${JSON.stringify(report, undefined, 2)}\n`)
    return config === undefined ? 1 : 0
  }
  if (config === undefined) {
    const count = complaints.length === 1 ? '1 problem' : `${complaints.length} problems`
    terminal.error(`${[...listed(complaints), `${count}. Nothing was started.`].join('\n')}\n`)
    return 1
  }
  for (const line of listed(warnings)) terminal.error(`${line.replace('  ', '  warning: ')}\n`)
  if (terminal.isWatched)
    terminal.print(`${flags.config.join(', ') || 'the built-in configuration'} is fine: ${summary(config)}\n`)
  return 0
}

const asJson = (complaints: readonly Complaint[]) =>
  inFileOrder(complaints).map(({ place: { source, line, column }, path, message }) => {
    return { source, line, column, path, message: bounded(message) }
  })

function summary({ service }: Config): string {
  const pipelines = [...service.pipelines.values()]
  const count = (ids: readonly string[], word: string) => {
    const { size } = new Set(ids)
    return `${size} ${word}${size === 1 ? '' : 's'}`
  }
  return [
    count(
      pipelines.flatMap(({ receivers }) => receivers),
      'receiver',
    ),
    count(
      pipelines.flatMap(({ processors }) => processors),
      'processor',
    ),
    count(
      pipelines.flatMap(({ exporters }) => exporters),
      'exporter',
    ),
    count([...service.pipelines.keys()], 'pipeline'),
  ].join(', ')
}
