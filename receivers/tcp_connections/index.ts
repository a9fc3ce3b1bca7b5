// Whom containers talk to over TCP, and who talks to them: counted in the kernel, where no connection is too short.
import { existsSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as z from 'zod/mini'
import { hasCapability } from '../capabilities.ts'
import { watchAddresses } from '../host/addresses.ts'
import { openNat } from '../host/nat.ts'
import { defineReceiver, type Logger } from '../receiver.ts'
import { duration } from '../schema.ts'
import { createResolver } from './answers.ts'
import { openCounted } from './counted.ts'
import { openDiag } from './diag.ts'
import { createFilter, parseNetwork, portRange } from './filter.ts'
import { createFlows } from './flows.ts'
import { createListens, reachable } from './listens.ts'
import { metrics } from './metrics.ts'
import { notePeer, notePeers } from './peers.ts'
import { report } from './report.ts'
import type { Source } from './source.ts'
import { startTelemetry } from './telemetry.ts'

const network = () =>
  z.string().check(
    z.refine((text) => parseNetwork(text) !== undefined, {
      error: (issue) => `expected a network such as 10.0.0.0/8 or 2001:db8::/32, got ${JSON.stringify(issue.input)}`,
    }),
  )

const ports = () =>
  z.string().check(
    z.refine((text) => text === '' || portRange(text)[0] <= portRange(text)[1], {
      error: (issue) => `expected a range of ports such as 32768-60999, got ${JSON.stringify(issue.input)}`,
    }),
  )

/** Of all control groups together, as the kernel's table has room (MOST_APART of bpf/tcp_totals.h). */
const MOST_DESTINATIONS = 12_288

const mayUseBpf = () => existsSync('/sys/kernel/btf/vmlinux') && hasCapability('BPF') && hasCapability('PERFMON')

export default defineReceiver({
  name: 'tcp_connections',
  summary: 'Whom each container talks to over TCP, how much, how well, and where it can be reached itself.',
  stability: 'alpha',
  config: z.strictObject({
    /** Who looks: `bpf` counts in the kernel, `sock_diag` lists what is open at each collection. `auto`: BPF where it works. */
    source: z._default(z.enum(['auto', 'bpf', 'sock_diag']), 'auto'),
    /** Destinations that one control group may have; what comes on top shares the destination `other`. */
    max_destinations: z._default(z.int().check(z.minimum(1), z.maximum(MOST_DESTINATIONS)), 2000),
    /** How long a destination is reported after nothing happened there any more. */
    forget_after: z._default(duration(), 600_000),
    /** Whether round trips and handshakes are told as histograms, which is 18 series per destination. */
    histograms: z._default(z.boolean(), true),
    /** Networks whose addresses share one destination, which is the network's name. */
    fold_networks: z._default(z.array(network()), []),
    /** Networks whose addresses are told apart in any case. */
    keep_networks: z._default(z.array(network()), []),
    /** Whether all addresses of the internet share one destination, `public:443`. */
    fold_public: z._default(z.boolean(), false),
    /** Ports, `32768-60999` say, whose destinations share one, `other`. */
    fold_ports: z._default(ports(), ''),
  }),
  metrics,
  needs: [
    {
      name: 'CAP_BPF and CAP_PERFMON, Linux 5.8 with BTF',
      why: 'the kernel counts connections where they are made',
      degrades: 'open connections are listed by sock_diag instead: connects, failures and resets are not counted',
      fix: 'run as root, or grant the capabilities; CONFIG_DEBUG_INFO_BTF=y',
      check: mayUseBpf,
    },
  ],

  start(settings, { host, log, meter, id }) {
    const { source: wanted, max_destinations: maxPerCgroup, forget_after: forgetAfterMs } = settings
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
    const counted = () => openCounted({ host, flows, forgetAfterMs, maxDestinations, resolver, lister })
    const source = openSource(wanted, { bpf: counted, sock_diag: () => openDiag({ host, nat, log }) }, log)
    const addresses = watchAddresses(host.namespaces)
    const listens = createListens(host, hostNetns, (netns, family) => reachable(addresses, netns, family))
    const stopProviding = host.peers.provide()
    const stopTelemetry = startTelemetry(meter, id, () => source.figures())

    let lastMs = performance.now()

    return {
      async collect(out) {
        listens.seen(await source.collect(flows))
        for (const flow of flows.all()) report(flow, out, source.known, settings.histograms)
        notePeers(flows.all(), host.peers, lastMs)
        lastMs = performance.now()
        for (const { cgroup, attributes } of listens.addresses()) {
          out.record(cgroup, 'container.net.tcp.listen.info', 1, attributes)
        }
        for (const { cgroup, attributes, drops } of listens.overflows()) {
          out.record(cgroup, 'container.net.tcp.listen.drops', drops, attributes)
        }
        flows.forget(performance.now())
      },
      async stop() {
        stopProviding()
        stopTelemetry()
        source.close()
        nat.stop()
        addresses.close()
        // What was closed is freed in the next turn of the loop.
        await nextTurn()
      },
    }
  },
})

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
