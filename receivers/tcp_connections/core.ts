// What counts connections. It goes on while the configuration is read again, if its settings stay as they were.
import { watchAddresses } from '../host/addresses.ts'
import type { Host } from '../host/host.ts'
import { openNat } from '../host/nat.ts'
import type { Logger } from '../receiver.ts'
import { createRelay, type Relay } from '../relay.ts'
import { createResolver } from './answers.ts'
import { openCounted } from './counted.ts'
import { openDiag } from './diag.ts'
import { createFilter, type FilterSettings } from './filter.ts'
import { createFlows, type Flows } from './flows.ts'
import { createListens, type Listens, reachable } from './listens.ts'
import { notePeer } from './peers.ts'
import type { Source } from './source.ts'

export type CoreSettings = FilterSettings & {
  readonly source: 'auto' | 'bpf' | 'sock_diag'
  readonly max_destinations: number
  /** Milliseconds. */
  readonly forget_after: number
  /** Whether what happened before the start counts. */
  readonly history: boolean
}

export type Core = {
  readonly flows: Flows
  readonly source: Source
  readonly listens: Listens
  readonly log: Relay
  close(): void
}

/** Of all control groups together, as the kernel's table has room (MOST_APART of bpf/tcp_totals.h). */
export const MOST_DESTINATIONS = 12_288

/** Counts from now on. Throws, with a remedy, when the source that was asked for does not work here. */
export function openCore(settings: CoreSettings, host: Host, firstLog: Logger): Core {
  const { source: wanted, max_destinations: maxPerCgroup, forget_after: forgetAfterMs, history } = settings
  const log = createRelay(firstLog)
  const hostNetns = host.namespaces.initial
  const flows = createFlows({
    maxPerCgroup,
    forgetAfterMs,
    filter: createFilter(settings),
    hostNetns,
    onNew: (flow) => notePeer(flow, host.peers),
  })
  const nat = openNat(host.namespaces, log)
  const resolver = createResolver(nat, host.namespaces)
  const lister = openDiag({ host, nat, log, bytes: false })
  // What is folded here is one destination only here, so the kernel may have more.
  const folds = settings.fold_public || settings.fold_networks.length > 0 || settings.fold_ports !== ''
  const maxDestinations = folds ? MOST_DESTINATIONS : maxPerCgroup
  const counted = () => openCounted({ host, flows, forgetAfterMs, maxDestinations, history, resolver, lister })
  const source = openSource(wanted, { bpf: counted, sock_diag: () => openDiag({ host, nat, log, history }) }, log)
  const addresses = watchAddresses(host.namespaces)
  return {
    flows,
    source,
    listens: createListens(host, hostNetns, (netns, family) => reachable(addresses, netns, family), history),
    log,
    close() {
      source.close()
      nat.stop()
      addresses.close()
    },
  }
}

type Sources = { bpf(): Source; sock_diag(): Source }

function openSource(wanted: 'auto' | keyof Sources, open: Sources, log: Logger): Source {
  if (wanted === 'sock_diag') return open.sock_diag()
  try {
    const source = open.bpf()
    log.info('connections are counted in the kernel by BPF')
    return source
  } catch (error) {
    if (wanted === 'bpf') throw error
    const reason = error instanceof Error ? error.message : String(error)
    log.warn(
      'connections are listed by sock_diag, because BPF does not work here: connects and failures are not counted',
      {
        reason,
      },
    )
    return open.sock_diag()
  }
}
