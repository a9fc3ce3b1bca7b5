// The CPU delay on the agent's page against what the kernel says elsewhere: schedstat of living threads, and what
// processes that live for 5 ms read of themselves before they end.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, startAgent } from '../agent.ts'
import { type Container, startDocker } from '../containers/docker.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const SECONDS = 4
const needs = requires('root', 'addon', 'docker', 'bpf')
const SOURCES = ['bpf', 'taskstats'] as const

for (const source of SOURCES) {
  test(`by ${source}, the CPU delay of a steady container agrees with schedstat within 1 %`, needs, async (t) => {
    const { run, docker } = await startDocker(t, 'delays')
    const burners = await run('burners', { flags: ['--cpuset-cpus', '0'], command: ['burner', '3'] })
    const pid = Number(await docker('inspect', '--format', '{{.State.Pid}}', burners.id))
    const agent = await agentBy(t, source)
    await until('the delay is there', async () => (await delayOf(agent, burners)) !== undefined)

    const first = await between(agent, burners, pid)
    await sleep(SECONDS * 1000)
    const last = await between(agent, burners, pid)

    const ours = last.ours - first.ours
    const [least, most] = [last.before - first.after, last.after - first.before]
    t.diagnostic(`ours ${ours.toFixed(3)} s, schedstat between ${least.toFixed(3)} s and ${most.toFixed(3)} s`)
    assert.ok(least > SECONDS, `the threads hardly waited: ${least} s`)
    assert.ok(ours > least * 0.99 && ours < most * 1.01, `${ours} s, not between ${least} s and ${most} s`)
  })

  test(
    `by ${source}, at least 99 % of the delays of 1000 processes of 5 ms are their container's`,
    needs,
    async (t) => {
      const { run, docker } = await startDocker(t, 'storm')
      const agent = await agentBy(t, source)
      const storm = await run('storm', { command: ['sh', '-c', 'sleep 0.5; fork_storm 1000 5 6; exec sleep 1000'] })
      const told = await until('the storm is over', () => docker('logs', storm.id), {
        deadlineMs: 60_000,
        everyMs: 200,
      })
      const ours = (await delayOf(agent, storm)) ?? 0
      const truth = Number(told) / 1e9
      t.diagnostic(`ours ${ours.toFixed(3)} s, the processes' own ${truth.toFixed(3)} s`)
      assert.ok(truth > 1, `the processes hardly waited: ${truth} s`)
      assert.ok(ours >= truth * 0.99, `${ours} s of ${truth} s`)
      // What they could not read of themselves: their last moment, and the parent's waiting.
      assert.ok(ours <= truth * 1.1 + 0.2, `${ours} s of ${truth} s`)
    },
  )
}

/** Collected often enough for the taskstats way to have seen where a process lives before it ends. */
const agentBy = (t: TestContext, source: string) =>
  startAgent(t, { receivers: { delay_accounting: { source, collection_interval: '1s' } } })

const delayOf = async (agent: Agent, { name }: Container) =>
  (await agent.scrape()).value('container_resources_cpu_delay_seconds_total', { container_id: `/docker/${name}` })

/** What the agent says, and the kernel just before and just after it, in seconds. */
async function between(agent: Agent, container: Container, pid: number) {
  const before = schedstat(pid)
  const ours = await delayOf(agent, container)
  assert.ok(ours !== undefined)
  return { before, ours, after: schedstat(pid) }
}

/** What the threads of a process waited for a CPU so far (Documentation/scheduler/sched-stats.rst). */
function schedstat(pid: number): number {
  let waitedNs = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    waitedNs += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[1])
  }
  return waitedNs / 1e9
}
