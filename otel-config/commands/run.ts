// `leadline run`: from reading the configuration to the last line, with reload on SIGHUP.
import { availableParallelism } from 'node:os'
import { exit } from '../../native/index.ts'
import type { Components } from '../components.ts'
import { placeText } from '../config/complaints.ts'
import { type LoadedConfig, load, type Wanted } from '../config/load.ts'
import { shortened } from '../config/sources.ts'
import { createLogger, type RootLogger } from '../logger.ts'
import { watchHeap } from '../service/heap.ts'
import { keepHost } from '../service/kept_host.ts'
import { type Surroundings, startService } from '../service/service.ts'
import { version } from '../version.ts'
import type { Flags } from './arguments.ts'
import { wantedBy } from './built_in.ts'
import type { Terminal } from './terminal.ts'

/** Below the 10 s that `docker stop` waits before it kills. */
const STOP_MS = 8_000

type Outside = Omit<Surroundings, 'log'>
type Wish = 'stop' | 'reload'

/** Resolves with the exit code when everything has ended. Throws a ConfigError before anything was started. */
export async function run(flags: Flags, components: Components, outside: Outside, terminal: Terminal): Promise<number> {
  const wanted = wantedBy(flags, terminal.environment)
  let current = load(wanted, components)
  let log = createLogger(current.config.service.telemetry.logs)
  const wishes = watchSignals()
  watchHeap()
  process.once('uncaughtException', (error) => {
    log.error('Something went wrong that should not', { error: error.stack ?? error.message })
    exit(1)
  })

  const source = flags.config.length > 0 ? flags.config.map(shortened).join(' ') : `built-in (${wanted.configs[0]})`
  log.info('Starting leadline...', { Version: version, NumCPU: availableParallelism(), config: source })
  if (process.geteuid?.() !== 0) {
    log.warn('not running as root: the lines below say what is missing', {
      fix: 'sudo leadline run, or grant the capabilities that they name',
    })
  }
  const host = keepHost(outside.startHost)
  const kept = { ...outside, startHost: host.start }
  let service = await begin(current, log, kept)
  if (service === undefined) return 1

  for (;;) {
    const wish = await wishes.next()
    if (wish === 'stop') break
    const next = tryLoad(wanted, components, log)
    if (next === undefined) continue
    log.info('Config updated, restart service')
    await service.stop(STOP_MS, true)
    log.close()
    log = next.log
    service = await begin(next.loaded, log, kept)
    if (service !== undefined) current = next.loaded
    else {
      // A configuration can be valid and still not start: a port may be taken.
      log.warn('The new configuration could not start: going back to the one before')
      service = await begin(current, log, kept)
      if (service === undefined) return 1
    }
    host.release()
  }

  log.info('Starting shutdown...')
  const isClean = await service.stop(STOP_MS)
  await host.stop()
  log.info('Shutdown complete.')
  log.close()
  return isClean ? 0 : 1
}

/** Undefined when it could not start, which has been said then. */
async function begin({ config, warnings }: LoadedConfig, log: RootLogger, outside: Outside) {
  for (const { place, path, message } of warnings) log.warn(`${path}: ${message}`, { at: placeText(place) })
  try {
    const service = await startService(config, { ...outside, log })
    log.info('Everything is ready. Begin running and processing data.')
    for (const url of service.urls) log.info(`metrics on ${url}`)
    return service
  } catch (error) {
    log.error(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/** The new configuration and where its lines go; undefined when it is not valid, which has been said then. */
function tryLoad(wanted: Wanted, components: Components, log: RootLogger) {
  try {
    const loaded = load(wanted, components)
    return { loaded, log: createLogger(loaded.config.service.telemetry.logs) }
  } catch (error) {
    log.error('The new configuration is not valid: the old one goes on', {
      problems: error instanceof Error ? error.message.split('\n') : String(error),
    })
    return undefined
  }
}

/**
 * SIGTERM and SIGINT stop, SIGHUP reloads. As in the Collector, a second SIGTERM is not special: a terminal's Ctrl-C
 * reaches us twice when npm stands between, and the shutdown has a deadline anyway.
 */
function watchSignals() {
  const wishes: Wish[] = []
  let wake = () => {}
  const wish = (what: Wish) => () => {
    if (wishes.at(-1) !== what) wishes.push(what)
    wake()
  }
  process.on('SIGTERM', wish('stop'))
  process.on('SIGINT', wish('stop'))
  process.on('SIGHUP', wish('reload'))
  return {
    async next(): Promise<Wish> {
      for (;;) {
        // Who wants to stop does not want to reload first.
        if (wishes.includes('stop')) return 'stop'
        const first = wishes.shift()
        if (first !== undefined) return first
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        // Without a timer or a handle of its own, Node would end here.
        const alive = setInterval(() => {}, 2 ** 30)
        await promise
        clearInterval(alive)
      }
    },
  }
}
