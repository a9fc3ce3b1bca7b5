// `leadline components`: what can go into a configuration, in the Collector's form.
import { stringify } from 'yaml'
import type { Stability } from '../../receivers/receiver.ts'
import type { Components } from '../components.ts'
import { description, version } from '../version.ts'

export function listComponents(components: Components, format: 'yaml' | 'json'): string {
  const list = {
    buildinfo: { command: 'leadline', description, version },
    receivers: section('receivers', components.receivers, forSignals),
    processors: section('processors', components.processors, forSignals),
    exporters: section('exporters', components.exporters, forSignals),
    connectors: [],
    extensions: section('extensions', components.extensions, (stability) => ({ extension: capital(stability) })),
    providers: ['env', 'file', 'yaml'].map((scheme) => ({ scheme, module: `leadline/otel-config/config ${version}` })),
    converters: [],
  }
  return format === 'json' ? `${JSON.stringify(list, undefined, 2)}\n` : stringify(list, { lineWidth: 0 })
}

type Listed = { readonly name: string; readonly summary: string; readonly stability: Stability }

function section(kind: string, definitions: readonly Listed[], stabilityOf: (stability: Stability) => object) {
  const sorted = definitions.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return sorted.map(({ name, summary, stability }) => {
    return { name, module: `leadline/${kind}/${name} ${version}`, summary, stability: stabilityOf(stability) }
  })
}

const forSignals = (stability: Stability) => ({
  logs: 'Undefined',
  metrics: capital(stability),
  traces: 'Undefined',
})

const capital = (word: string) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`
