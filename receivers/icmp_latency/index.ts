// How far it is from each container to everybody it talks to. Asked by ICMP echo from the container's own network
// namespace, and timed by the kernel, so that it is the network's time and not that of an agent without a CPU.
import * as z from 'zod/mini'
import { openEcho } from '../../native/index.ts'
import { hasCapability } from '../capabilities.ts'
import { defineReceiver, type Output } from '../receiver.ts'
import { duration } from '../schema.ts'
import { createAddressFilter, parseNetwork } from './addresses.ts'
import { watchConnections } from './connections.ts'
import { metrics, type Name } from './metrics.ts'
import { createProber } from './prober.ts'
import { createSchedule } from './schedule.ts'
import { createSockets } from './sockets.ts'
import { jitterS, latencyS } from './statistics.ts'
import { createTargets, type Told } from './targets.ts'
import { startTelemetry } from './telemetry.ts'

/** How often probes are planned and answers are taken in. */
const TICK_MS = 1000
/** How far ahead probes are planned, so that a tick that comes late leaves no gap. */
const AHEAD_MS = 1500
/** How often the addresses are brought up to date when no new ones come, in ticks. */
const FOLLOW_EVERY = 15
/**
 * How often we look for connections ourselves, where nobody else notes them. The kernel walks through its whole table of
 * sockets for each namespace, so where there are hundreds of them we look more rarely.
 */
const LOOK_EVERY_MS = 15_000
const LOOK_AT_LEAST_EVERY_MS = 60_000
const LOOK_EVERY_MS_AND_NAMESPACE = 300

const network = () =>
  z.string().check(
    z.refine((text) => parseNetwork(text) !== undefined, {
      error: (issue) => `expected an address or a network such as 10.0.0.0/8, got ${JSON.stringify(issue.input)}`,
    }),
  )

const positive = () => z.number().check(z.positive({ error: 'expected a number above 0' }))

const nowMs = () => Number(process.hrtime.bigint()) / 1e6

export default defineReceiver({
  name: 'icmp_latency',
  summary: 'How far each container is from the addresses it talks to, timed by the kernel.',
  stability: 'alpha',
  config: z.strictObject({
    /** How often each address is asked. Silent ones more and more rarely, down to once in two minutes. */
    probe_interval: z._default(
      duration().check(z.refine((ms) => ms >= 100, { error: 'expected 100ms or more' })),
      15_000,
    ),
    /** A probe that is not answered within this time is lost. */
    reply_timeout: z._default(duration().check(z.refine((ms) => ms > 0, { error: 'expected more than 0s' })), 2_000),
    /** Of all containers together. With more addresses than that allows, each is asked more rarely. */
    max_probes_per_second: z._default(positive(), 500),
    /** To one address, from all namespaces together. */
    max_probes_per_second_and_address: z._default(positive(), 10),
    /** Whether addresses of the internet are asked as well. */
    public_addresses: z._default(z.boolean(), false),
    /** Addresses and networks; when there are any, only these are asked, public or not. */
    allow: z._default(z.array(network()), []),
    /** Addresses and networks that are never asked. Wins over the others. */
    deny: z._default(z.array(network()), []),
    /** Most addresses that are asked, each counted once for each network namespace. */
    max_targets: z._default(positive(), 20_000),
  }),
  metrics,
  needs: [
    {
      name: 'CAP_NET_RAW',
      why: 'ICMP is sent and received by raw sockets',
      degrades: 'only network namespaces whose net.ipv4.ping_group_range includes our group are measured from',
      fix: 'run as root, or grant the capability',
      check: () => hasCapability('NET_RAW'),
    },
    {
      name: 'CAP_SYS_ADMIN and CAP_SYS_PTRACE',
      why: "a socket is opened inside each container's network namespace",
      degrades: "only the agent's own network namespace is measured from",
      fix: 'run as root, or grant the capabilities',
      check: () => hasCapability('SYS_ADMIN') && hasCapability('SYS_PTRACE'),
    },
  ],

  start(config, { host, log, meter, id }) {
    const echo = openEcho()
    const sockets = createSockets(echo, host.namespaces, log, nowMs)
    const prober = createProber({ echo, sockets, now: nowMs, replyTimeoutMs: config.reply_timeout })
    const targets = createTargets({ host, isWanted: createAddressFilter(config), most: config.max_targets })
    const schedule = createSchedule({
      intervalMs: config.probe_interval,
      perSecond: config.max_probes_per_second,
      perSecondAndAddress: config.max_probes_per_second_and_address,
    })
    const stopTelemetry = startTelemetry(meter, id, () => ({
      targets: targets.size,
      sockets: sockets.open,
      behindMs: schedule.behindMs,
      unused: prober.counts,
      refused: { ...sockets.refused, too_many_targets: targets.refused },
    }))
    // A socket keeps its namespace alive, so it goes with the last process in there.
    const stopHearing = host.namespaces.onEnd((netns) => {
      sockets.close(netns)
      targets.end(netns)
    })

    const connections = watchConnections(host, log)
    let looking: Promise<void> | undefined
    let nextLookMs = Number.NEGATIVE_INFINITY
    function lookForConnections(): void {
      if (host.peers.isProvided || looking !== undefined || nowMs() < nextLookMs) return
      const pauseMs = [...host.namespaces.living()].length * LOOK_EVERY_MS_AND_NAMESPACE
      nextLookMs = nowMs() + Math.min(LOOK_AT_LEAST_EVERY_MS, Math.max(LOOK_EVERY_MS, pauseMs))
      looking = connections
        .look()
        .catch((error: Error) => log.warn('cannot look for connections', { reason: error.message }))
        .finally(() => {
          looking = undefined
        })
    }

    let followed = 0
    function follow(): void {
      followed = host.peers.added
      targets.follow(nowMs())
    }

    let ticks = 0
    let isFailing = false
    function tick(): void {
      try {
        if (prober.isWaiting) prober.read()
        if (ticks > 0) lookForConnections() // by now every receiver has started that would note them
        if (ticks++ % FOLLOW_EVERY === 0 || host.peers.added > followed) follow()
        const fromMs = nowMs()
        prober.send(schedule.plan(targets.all(), fromMs, fromMs + AHEAD_MS))
        isFailing = false
      } catch (error) {
        if (!isFailing) log.error('cannot send probes', { error: error instanceof Error ? error.message : error })
        isFailing = true
      }
    }
    const ticking = setInterval(tick, TICK_MS).unref()

    return {
      collect(out) {
        if (prober.isWaiting) prober.read()
        for (const told of targets.told()) report(out, told)
      },
      async stop() {
        clearInterval(ticking)
        connections.stop()
        await looking
        stopHearing()
        stopTelemetry()
        echo.close()
      },
    }
  },
})

function report(out: Output<Name>, { target, viewer, statistics }: Told): void {
  const { attributes, recent, tcpSeconds } = target
  const { sent, lost, late, duplicated, failed, roundTripS, queuedS, buckets } = statistics
  if (target.viewers.has(viewer)) {
    for (const [name, seconds] of [
      ['container.net.latency', latencyS(recent)],
      ['container.net.latency.jitter', jitterS(recent)],
      ['container.net.latency.tcp', tcpSeconds],
    ] as const) {
      if (seconds !== undefined) out.record(viewer, name, seconds, attributes)
    }
  }
  if (sent === 0) return // nothing is known yet
  out.distribution(viewer, 'container.net.round_trip', roundTripS, buckets, attributes)
  out.record(viewer, 'container.net.probes.sent', sent, attributes)
  out.record(viewer, 'container.net.probes.lost', lost, attributes)
  out.record(viewer, 'container.net.probes.late', late, attributes)
  out.record(viewer, 'container.net.probes.duplicated', duplicated, attributes)
  out.record(viewer, 'container.net.probes.queued', queuedS, attributes)
  for (const [error_type, times] of failed ?? []) {
    out.record(viewer, 'container.net.probes.failed', times, { ...attributes, error_type })
  }
}
