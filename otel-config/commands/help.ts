// What leadline can do, for those who type its name and nothing else.
import { description, version } from '../version.ts'
import { UsageError } from './arguments.ts'

const OVERVIEW = `leadline ${version} — ${description}

  sudo leadline run                look at this machine, with the built-in configuration
  leadline run --config FILE       run; --config may be repeated, as in the Collector
  leadline validate --config FILE  check a configuration without running it
  leadline components              what can go into a configuration
  leadline print-config            the configuration as it is understood
  leadline logs FILE...            what a log complains about: patterns by count

More: leadline help <command>
`

const SOURCES = `
  --config URI   a file, or file:PATH, env:VARIABLE, yaml:KEY::KEY: VALUE. May be repeated: maps are merged,
                 lists and single values of the later one win
  --set A.B=V    sets one value over all configurations. May be repeated`

const TOPICS: Readonly<Record<string, string>> = {
  run: `leadline run [--config URI]... [--set KEY=VALUE]...

Collects until SIGTERM or SIGINT, then hands on what is left and exits 0. Without --config it uses its built-in
configuration: everything, on http://localhost:9464/metrics, nothing sent anywhere.
SIGHUP reads the configuration again; when it is not valid, the old one goes on.
${SOURCES}
`,
  validate: `leadline validate --config URI... [--set KEY=VALUE]... [--json]

With --set alone, it checks the built-in configuration with that changed.
Silent with exit code 0 when the configuration is fine; else everything that is wrong with it, and 1.
${SOURCES}
  --json         {"valid", "problems": [{"source", "line", "column", "path", "message"}], "warnings"} on stdout
`,
  components: `leadline components [--json]

Lists receivers, processors, exporters and extensions with their stability, in the Collector's form.
`,
  logs: `leadline logs [FILE]... [--level LEVEL] [--top N] [--since TIME] [--follow] [--json | --messages]

Reads files, or standard input, and prints the patterns of their messages by count, each with its level, its course
over time, and a message of it. Joins what belongs together (stack traces, JSON over many lines), drops times, hosts
and threads, and masks what varies. Needs no agent and no privileges.

  --level L      only messages of this level and above: debug, info, warning, error, critical
  --top N        how many patterns are shown, 20 by default
  --since T      only messages from then on: a duration back from now (90m), or a time (2024-05-02T11:20)
  -f, --follow   go on reading as files grow
  --json         the same as JSON
  --messages     instead, one JSON object for each message, as it ends: {"line", "hash", "level"}
  --format F     auto (default), plain, docker (json-file), cri (containerd, CRI-O)
  --max-patterns N   patterns of one level that are kept apart, 4096 by default; the rest is counted as one
  --raw          show messages as they are, without taking out passwords, tokens and addresses
`,
  'print-config': `leadline print-config [--config URI]... [--set KEY=VALUE]...

Prints the configurations merged, with every \${…} replaced; without --config, the built-in one.
${SOURCES}
  --format F     yaml (default) or json
  --mode M       redacted (default): secrets are [REDACTED]; unredacted: they are printed
  --validate B   true (default): fails when the configuration is not valid; false: prints what there is
`,
}

/** Throws a UsageError for what there is no help on. */
export function help(topic: string | undefined): string {
  if (topic === undefined || topic === 'help') return OVERVIEW
  const text = TOPICS[topic]
  if (text === undefined) throw new UsageError(`there is no help on "${topic}". See: leadline help`)
  return text
}
