// Whom containers talk to over TCP, and who talks to them: counted in the kernel, where no connection is too short.
import { existsSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as z from 'zod/mini'
import { hasCapability } from '../capabilities.ts'
import { defineReceiver } from '../receiver.ts'
import { duration } from '../schema.ts'
import { type Core, MOST_DESTINATIONS, openCore } from './core.ts'
import { parseNetwork, portRange } from './filter.ts'
import { metrics } from './metrics.ts'
import { notePeers } from './peers.ts'
import { report } from './report.ts'
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
    /**
     * Whether connections that were open before the agent count as connected, as the peer does it, with all their bytes.
     * `false`: they are active, and what they do from then on counts, so that a new start of the agent adds nothing twice;
     * but for those that no process has yet, waiting to be accepted.
     */
    history: z._default(z.boolean(), true),
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
    // How it is told may change meanwhile.
    const { histograms, ...counting } = settings
    const core = host.kept?.take<Core>(id, counting) ?? openCore(settings, host, log)
    const { flows, source, listens } = core
    core.log.to(log)
    const stopProviding = host.peers.provide()
    const stopTelemetry = startTelemetry(meter, id, () => source.figures())

    let lastMs = performance.now()

    return {
      async collect(out) {
        listens.seen(await source.collect(flows))
        for (const flow of flows.all()) report(flow, out, source.known, histograms)
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
      async stop(forReload) {
        stopProviding()
        stopTelemetry()
        if (forReload && host.kept !== undefined) return host.kept.leave(id, counting, core)
        core.close()
        // What was closed is freed in the next turn of the loop.
        await nextTurn()
      },
    }
  },
})
