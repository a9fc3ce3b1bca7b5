// The command `leadline`.
import { exit } from '../native/index.ts'
import { parseArguments, UsageError } from './commands/arguments.ts'
import { help } from './commands/help.ts'
import { type Terminal, terminal } from './commands/terminal.ts'
import { ConfigError } from './config/complaints.ts'
import { version } from './version.ts'

/** The exit code: 0, or 1 for everything that went wrong. */
async function main(argv: readonly string[], on: Terminal): Promise<number> {
  try {
    return await command(argv, on)
  } catch (error) {
    if (error instanceof ConfigError) on.error(`${error.message}\n`)
    else if (error instanceof UsageError) on.error(`Error: ${error.message}\n`)
    else on.error(`Error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return 1
  }
}

async function command(argv: readonly string[], on: Terminal): Promise<number> {
  const wanted = parseArguments(argv)
  if (wanted.command === 'version') {
    on.print(`leadline version ${version}\n`)
    return 0
  }
  if (wanted.command === 'help') {
    on.print(help(wanted.topic))
    return 0
  }
  if (wanted.command === 'logs') {
    const { logs } = await import('./commands/logs.ts')
    return await logs(wanted.argv, on)
  }
  // Only now, because these bring the SDK along.
  const { components } = await import('./components.ts')
  const { flags } = wanted
  switch (wanted.command) {
    case 'run': {
      const { run } = await import('./commands/run.ts')
      const { outside } = await import('./service/outside.ts')
      return await run(flags, components, outside, on)
    }
    case 'validate': {
      const { validate } = await import('./commands/validate.ts')
      return validate(flags, components, on)
    }
    case 'components': {
      const { listComponents } = await import('./commands/components.ts')
      on.print(listComponents(components, flags.json ? 'json' : 'yaml'))
      return 0
    }
    case 'print-config': {
      const { printConfig } = await import('./commands/print_config.ts')
      return printConfig(flags, components, on)
    }
  }
}

main(process.argv.slice(2), terminal).then((code) => {
  // What a run leaves behind may keep Node up. All that was printed has been written by now.
  exit(code)
})
