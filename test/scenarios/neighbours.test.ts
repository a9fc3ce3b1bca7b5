// The field's first question: is this service slow because of its neighbour, because of its own limit, or for neither
// reason? Three situations of real containers on one CPU, which the metrics have to tell apart.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, startAgent } from '../agent.ts'
import { type Container, startDocker } from '../containers/docker.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const SECONDS = 3
const METRICS = [
  'container_resources_cpu_usage_seconds_total',
  'container_resources_cpu_delay_seconds_total',
  'container_resources_cpu_throttled_seconds_total',
]
/** A round in which others used more of the CPU than this says nothing of the two, and is taken again. */
const OTHERS = 0.1
/** The agent and this test run on the second CPU, with the container at its limit. */
const BESIDE_THE_LIMITED = 0.4
const MOST_ROUNDS = 16
const ROUNDS = process.env.LEADLINE_LONG === '1' ? 8 : 3

/** Per second of wall time: CPUs used, seconds waited for a CPU, seconds held back by a quota. */
type Rates = { readonly used: number; readonly delayed: number; readonly throttled: number }

test(
  'the metrics tell a noisy neighbour, a polite one and a container at its limit apart',
  requires('root', 'addon', 'docker'),
  async (t) => {
    const { run, docker, remove } = await startDocker(t, 'neighbours')
    const onFirstCpu = ['--cpuset-cpus', '0']
    const sensitive = await run('sensitive', { flags: onFirstCpu, command: ['latency'] })
    const burner = await run('burner', { flags: onFirstCpu, command: ['burner', '2'] })
    const limited = await run('limited', { flags: ['--cpuset-cpus', '1', '--cpus', '0.1'], command: ['burner', '1'] })
    const agent = await startAgent(t)
    await until('both sources know them', async () => {
      const page = await agent.scrape()
      return [sensitive, burner, limited].every(({ name }) =>
        METRICS.every((metric) => page.value(metric, { container_id: `/docker/${name}` }) !== undefined),
      )
    })
    const containers = { sensitive, burner, limited }

    // Taken in turns, so that what else runs on this machine meets all of them alike.
    const noisy: Measured[] = []
    const polite: Measured[] = []
    for (let tries = 0; noisy.length < ROUNDS || polite.length < ROUNDS; tries++) {
      assert.ok(tries < MOST_ROUNDS, `others used this CPU: only ${noisy.length} and ${polite.length} rounds are ours`)
      await docker('update', '--cpu-shares', '1024', burner.id)
      const beside = await measure(agent, containers)
      if (isOurs(beside)) noisy.push(beside)
      await docker('update', '--cpu-shares', '2', burner.id)
      const alone = await measure(agent, containers)
      if (isOurs(alone)) polite.push(alone)
    }
    // First these: while a task of the lowest weight is kept from the CPU, the kernel can hold an exit for many seconds
    // (fsnotify_destroy_group waits for all who read the marks), and the agent's is one.
    await remove(sensitive, burner, limited)
    const [besideNoisy, besidePolite] = [mean(noisy), mean(polite)]
    t.diagnostic('                       CPUs used   delay s/s   throttled s/s   CPU 0 busy')
    for (const [name, rates, busy] of [
      ['beside a noisy one   ', besideNoisy.sensitive, besideNoisy.busy],
      ['the noisy one        ', besideNoisy.burner, besideNoisy.busy],
      ['beside a polite one  ', besidePolite.sensitive, besidePolite.busy],
      ['the polite one       ', besidePolite.burner, besidePolite.busy],
      ['at its limit         ', besidePolite.limited, Number.NaN],
    ] as const) {
      const columns = [rates.used, rates.delayed, rates.throttled, busy].map((value) => value.toFixed(3).padStart(11))
      t.diagnostic(`${name}${columns.join(' ')}`)
    }

    // A noisy neighbour: the service waits, and nobody holds it back.
    assert.ok(waits(besideNoisy.sensitive) > 0.1, 'delay beside a noisy neighbour')
    assert.equal(besideNoisy.sensitive.throttled, 0)
    // A polite one: the CPU is just as busy, the service hardly waits.
    assert.ok(besidePolite.busy > 0.9, 'high use of the CPU beside a polite neighbour')
    assert.ok(besidePolite.burner.used > 0.2, 'the polite neighbour uses what is left')
    assert.ok(waits(besideNoisy.sensitive) > 3 * waits(besidePolite.sensitive), 'less delay beside a polite neighbour')
    assert.equal(besidePolite.sensitive.throttled, 0)
    // At its own limit: delay, and throttling explains most of it.
    assert.ok(besidePolite.limited.used < 0.15, 'the limit holds')
    assert.ok(besidePolite.limited.throttled > 0.5, 'throttling at the limit')
    assert.ok(besidePolite.limited.delayed > 0.5, 'delay at the limit')
  },
)

/** Seconds of waiting for each second of running. */
const waits = ({ delayed, used }: Rates) => delayed / used

type Measured = {
  readonly sensitive: Rates
  readonly burner: Rates
  readonly limited: Rates
  readonly busy: number
  readonly otherBusy: number
}

const isOurs = ({ busy, otherBusy, sensitive, burner, limited }: Measured) =>
  busy - sensitive.used - burner.used < OTHERS && otherBusy - limited.used < BESIDE_THE_LIMITED

async function measure(
  agent: Agent,
  containers: Record<'sensitive' | 'burner' | 'limited', Container>,
): Promise<Measured> {
  const [before, beforeMs, busyBefore, otherBefore] = [
    await agent.scrape(),
    performance.now(),
    busyTicks(0),
    busyTicks(1),
  ]
  await sleep(SECONDS * 1000)
  const [after, afterMs, busyAfter, otherAfter] = [await agent.scrape(), performance.now(), busyTicks(0), busyTicks(1)]
  const seconds = (afterMs - beforeMs) / 1000
  const rates = ({ name }: Container): Rates => {
    const rate = (metric: string) => {
      const labels = { container_id: `/docker/${name}` }
      const [first, last] = [before.value(metric, labels), after.value(metric, labels)]
      assert.ok(first !== undefined && last !== undefined, `${metric} of ${name} is missing`)
      return (last - first) / seconds
    }
    return {
      used: rate('container_resources_cpu_usage_seconds_total'),
      delayed: rate('container_resources_cpu_delay_seconds_total'),
      throttled: rate('container_resources_cpu_throttled_seconds_total'),
    }
  }
  return {
    sensitive: rates(containers.sensitive),
    burner: rates(containers.burner),
    limited: rates(containers.limited),
    busy: share(busyBefore, busyAfter),
    otherBusy: share(otherBefore, otherAfter),
  }
}

type Ticks = { readonly busy: number; readonly all: number }
const share = (before: Ticks, after: Ticks) => (after.busy - before.busy) / (after.all - before.all)

/** Of one CPU, from proc_stat(5): user nice system idle iowait irq softirq steal. */
function busyTicks(cpu: number): Ticks {
  const line = new RegExp(`^cpu${cpu} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? ''
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0] = line.split(' ').map(Number)
  const busy = user + nice + system + irq + softirq
  return { busy, all: busy + idle + iowait }
}

function mean(rounds: readonly Measured[]): Measured {
  const average = (pick: (round: Measured) => number) =>
    rounds.reduce((sum, round) => sum + pick(round), 0) / rounds.length
  const rates = (who: 'sensitive' | 'burner' | 'limited'): Rates => ({
    used: average((round) => round[who].used),
    delayed: average((round) => round[who].delayed),
    throttled: average((round) => round[who].throttled),
  })
  return {
    sensitive: rates('sensitive'),
    burner: rates('burner'),
    limited: rates('limited'),
    busy: average(({ busy }) => busy),
    otherBusy: average(({ otherBusy }) => otherBusy),
  }
}
