// An agent that hardly gets a CPU measures the network all the same: its own cgroup has a tenth of a CPU, and four
// burners fight for that. The kernel's stamps are compared with tcpdump on the same packets, and with a ping beside the
// agent that takes the time in user space.
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { readLayout } from '../../receivers/host/layout.ts'
import { startAgent } from '../agent.ts'
import { startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import { median, startTcpdump } from '../kernel/icmp_latency/responder.ts'
import { requires } from '../requires.ts'
import { buildTool } from '../tools/build.ts'
import { until } from '../until.ts'

const PINGS = process.env.LEADLINE_LONG === '1' ? 300 : 100
const ADDRESS = '10.9.0.2'

/** A control group with a tenth of a CPU, in the hierarchy that has the CPU controller. */
function makeQuota(t: TestContext): string {
  const layout = readLayout('/sys/fs/cgroup')
  const v1 = layout.v1.get('cpu')
  const path = join(v1 ?? layout.root, `leadline-throttled-${process.pid}`)
  mkdirSync(path)
  atEnd(t, () => until('the cgroup is empty', () => rmdirSync(path) ?? true))
  if (v1 === undefined) writeFileSync(join(path, 'cpu.max'), '10000 100000')
  else writeFileSync(join(path, 'cpu.cfs_quota_us'), '10000')
  assert.ok(existsSync(path))
  return join(path, 'cgroup.procs')
}

test(
  'an agent with a tenth of a CPU and four burners beside it is right within 10 µs',
  requires('root', 'addon', 'docker', 'tcpdump', 'ping'),
  async (t) => {
    const { run, docker } = await startDocker(t, 'throttled')
    const container = await run('client', { command: ['sleep', '600'] })
    const pid = await docker('inspect', '--format', '{{.State.Pid}}', container.id)
    const inside = ['-t', pid, '-n']
    const start = (command: string, ...args: string[]) => {
      const child = spawn('nsenter', [...inside, command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      atEnd(t, () => child.kill('SIGKILL'))
      return child
    }
    await once(start(buildTool('echo_responder'), 'tun0', '*:delay_us=5000').stdout, 'data')
    execFileSync('nsenter', [...inside, 'ip', 'address', 'add', '10.9.0.1/24', 'dev', 'tun0'])
    execFileSync('nsenter', [...inside, 'ip', 'link', 'set', 'tun0', 'up'])
    await docker('exec', '--detach', container.id, 'sh', '-c', `while :; do sleep 60 | nc ${ADDRESS} 80; done`)

    const wire = await startTcpdump(t, { start }, 'tun0')
    const settings = { probe_interval: '100ms', max_probes_per_second_and_address: 50 }
    const agent = await startAgent(t, { receivers: { icmp_latency: settings } })
    const labels = { container_id: `/docker/${container.name}`, destination_ip: ADDRESS }
    const look = async () => {
      const page = await agent.scrape()
      const value = (name: string) => page.value(`container_net_${name}`, labels) ?? 0
      const [count, sum] = [value('round_trip_seconds_count'), value('round_trip_seconds_sum')]
      return { count, sum, lost: value('probes_lost_total'), latency: value('latency_seconds') }
    }
    await until('it is measured', async () => (await look()).count > 0, { deadlineMs: 40_000, everyMs: 500 })

    const procs = makeQuota(t)
    const burners = Array.from({ length: 4 }, () => spawn(buildTool('burner'), ['1']))
    atEnd(t, () => burners.map((burner) => burner.kill('SIGKILL')))
    const before = await look()
    for (const { pid: burner } of burners) writeFileSync(procs, String(burner))
    writeFileSync(procs, String(agent.pid))
    // -U: the time is taken in user space, before sending and after receiving. Not in step with the 100 ms of the quota.
    const command = `echo $$ > ${procs}; exec nsenter ${inside.join(' ')} ping -U -n -i 0.07 -c ${PINGS} ${ADDRESS}`
    const { stdout } = await promisify(execFile)('sh', ['-c', command], { encoding: 'utf8' })
    for (const burner of burners) burner.kill('SIGKILL')
    writeFileSync(join(procs, '../../cgroup.procs'), String(agent.pid))
    const after = await look()
    const truth = await wire()

    const userSpace = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) / 1000)
    // The agent asked first, and all that it measured until then was on the wire: the same packets, in the same order.
    const ident = truth[0]?.ident
    const own = truth.filter((one) => one.ident === ident).map(({ seconds }) => seconds)
    const throttled = own.slice(before.count, after.count)
    const pings = truth.filter((one) => one.ident !== ident).map(({ seconds }) => seconds)
    const mean = (after.sum - before.sum) / throttled.length
    const trueMean = throttled.reduce((all, seconds) => all + seconds) / throttled.length
    const lastFive = median(own.slice(after.count - 5, after.count))

    const us = (seconds: number) => `${(seconds * 1e6).toFixed(0)} µs`.padStart(10)
    t.diagnostic(`                           wire (tcpdump)      measured`)
    t.diagnostic(`agent, mean of ${throttled.length}         ${us(trueMean)}    ${us(mean)}`)
    t.diagnostic(`agent, median of the last five ${us(lastFive)}    ${us(after.latency)}`)
    t.diagnostic(`ping -U, median of ${pings.length}     ${us(median(pings))}    ${us(median(userSpace))}`)
    t.diagnostic(`ping -U, 90 % within      ${us(ninetieth(pings))}    ${us(ninetieth(userSpace))}`)
    assert.ok(throttled.length >= 20 && after.lost === before.lost, `${throttled.length} measured, ${after.lost} lost`)
    assert.ok(Math.abs(mean - trueMean) <= 10e-6, `mean ${us(mean)} against ${us(trueMean)}`)
    assert.ok(Math.abs(after.latency - lastFive) <= 10e-6, `median ${us(after.latency)} against ${us(lastFive)}`)
    assert.ok(ninetieth(userSpace) > 10 * ninetieth(pings), 'in user space it is the wait for a CPU that is measured')
  },
)

const ninetieth = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.9)] ?? 0
