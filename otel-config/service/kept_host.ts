// The knowledge of the machine lives on when the configuration is read again, unless its own settings changed: what it
// watches need not be found again, and receivers can leave something to those that follow them.
import { isDeepStrictEqual } from 'node:util'
import type { Host } from '../../receivers/host/host.ts'
import { createRelay, type Relay } from '../../receivers/relay.ts'
import type { Surroundings } from './service.ts'

type StartHost = Surroundings['startHost']

export type KeptHost = {
  /** The same host for the same settings. Its `stop` does nothing. */
  readonly start: StartHost
  /** Frees what receivers left and none has taken. */
  release(): void
  stop(): Promise<void>
}

type One = { readonly settings: unknown; readonly log: Relay; readonly host: Host; readonly shared: Host }

export function keepHost(startHost: StartHost): KeptHost {
  let kept: One | undefined

  async function stop(): Promise<void> {
    const { host } = kept ?? {}
    kept = undefined
    await host?.stop()
  }

  return {
    async start(settings, log) {
      if (kept !== undefined && isDeepStrictEqual(kept.settings, settings)) {
        kept.log.to(log)
        return kept.shared
      }
      await stop()
      const relay = createRelay(log)
      const host = await startHost(settings, relay)
      const shared = { ...host, async stop() {} }
      kept = { settings, log: relay, host, shared }
      return shared
    },
    release: () => kept?.host.kept?.closeAll(),
    stop,
  }
}
