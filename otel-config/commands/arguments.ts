// The command line: which command, and its flags, in the Collector's spelling.
import { type ParseArgsOptionDescriptor, parseArgs } from 'node:util'
import { didYouMean } from '../config/nearest.ts'

export type Flags = {
  readonly config: readonly string[]
  readonly set: readonly string[]
  readonly json: boolean
  readonly format: string
  readonly mode: string
  readonly validate: string
}

export const COMMANDS = ['run', 'validate', 'components', 'print-config', 'logs', 'help'] as const
export type Command = (typeof COMMANDS)[number]

export type Arguments =
  | { readonly command: 'version' }
  | { readonly command: 'help'; readonly topic: string | undefined }
  | { readonly command: 'logs'; readonly argv: readonly string[] }
  | { readonly command: Exclude<Command, 'help' | 'logs'>; readonly flags: Flags }

/** What was typed cannot be understood. */
export class UsageError extends Error {}

type Options = Record<string, ParseArgsOptionDescriptor>

const SOURCES: Options = { config: { type: 'string', multiple: true }, set: { type: 'string', multiple: true } }
const FLAGS: Readonly<Record<Exclude<Command, 'help' | 'logs'>, Options>> = {
  run: SOURCES,
  validate: { ...SOURCES, json: { type: 'boolean' } },
  components: { json: { type: 'boolean' } },
  'print-config': { ...SOURCES, format: { type: 'string' }, mode: { type: 'string' }, validate: { type: 'string' } },
}
const ALIASES: Readonly<Record<string, Command>> = { 'print-initial-config': 'print-config' }

/** Throws a UsageError. */
export function parseArguments(argv: readonly string[]): Arguments {
  const at = argv.findIndex((argument) => !argument.startsWith('-'))
  if (argv.length === 0) return { command: 'help', topic: undefined }
  const isBare = argv[0]?.startsWith('-') === true
  if (isBare && /^(--version|-v)$/.test(argv[0] ?? '')) return { command: 'version' }
  if (isBare && /^(--help|-h)$/.test(argv[0] ?? '')) return { command: 'help', topic: undefined }
  const word = isBare ? 'run' : (argv[at] ?? 'run')
  const command = ALIASES[word] ?? COMMANDS.find((name) => name === word)
  if (command === undefined) {
    throw new UsageError(`unknown command "${word}"${didYouMean(word, COMMANDS)}. See: leadline help`)
  }
  const rest = isBare ? argv : argv.slice(at + 1)
  if (rest.includes('--help') || rest.includes('-h')) return { command: 'help', topic: command }
  if (command === 'help') return { command, topic: rest[0] }
  if (command === 'logs') return { command, argv: rest }
  return { command, flags: parseFlags(command, rest) }
}

function parseFlags(command: Exclude<Command, 'help' | 'logs'>, argv: readonly string[]): Flags {
  const options = { ...FLAGS[command] }
  for (const argument of argv) {
    const [, name] = /^--?([^=]*)/.exec(argument) ?? []
    if (name === undefined || name in options) continue
    const near = didYouMean(
      `--${name}`,
      Object.keys(options).map((option) => `--${option}`),
    )
    throw new UsageError(`unknown flag: ${argument.split('=')[0]}${near}. See: leadline help ${command}`)
  }
  try {
    const { values } = parseArgs({ args: argv.map(doubleDash), options, strict: true, allowPositionals: false })
    const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])
    return {
      config: list(values.config),
      set: list(values.set),
      json: values.json === true,
      format: String(values.format ?? 'yaml'),
      mode: String(values.mode ?? 'redacted'),
      validate: String(values.validate ?? 'true'),
    }
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error)
    throw new UsageError(`${reason.charAt(0).toLowerCase()}${reason.slice(1)}. See: leadline help ${command}`)
  }
}

/** Go's flags work with one dash as well. */
const doubleDash = (argument: string) => (/^-[a-z]{2}/.test(argument) ? `-${argument}` : argument)
