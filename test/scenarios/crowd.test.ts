// Containers come and go, several each second. Each that was there during a collection is known by its name, its series
// go in time, and the agent's memory does not keep them.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, startAgent } from '../agent.ts'
import { type Docker, startDocker } from '../containers/docker.ts'
import { atEnd } from '../ending.ts'
import type { Page } from '../exposition.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const CONTAINERS = process.env.LEADLINE_LONG === '1' ? 1000 : 200
/** Half of them first, then the other half: what the second half adds to the memory is what would leak. */
const WAVES = 2
const SEVERAL = 4
const EXPIRATION_MS = 3000
const MIB = 2 ** 20

/** When it was surely running: from the answer to `docker run`. */
type Life = { readonly name: string; readonly startedMs: number }
type Scrape = { readonly startMs: number; readonly endMs: number }

test('200 short-lived containers are attributed, then forgotten', requires('root', 'addon', 'docker'), async (t) => {
  const engine = await startDocker(t, 'crowd')
  const agent = await startAgent(t, {
    receivers: { delay_accounting: { collection_interval: '1s' }, cgroup: { collection_interval: '1s' } },
    exporters: { prometheus: { metric_expiration: `${EXPIRATION_MS}ms` } },
    extensions: { host: { remember: '5s' } },
  })
  const memory: number[] = []
  const deaths = await watchDeaths(t)
  const before = idsOn(await agent.scrape()) // what others have left under docker's control group
  const seen = new Set<string>()
  const lives: Life[] = []
  const scrapes: Scrape[] = []
  const startMs = performance.now()
  for (let wave = 0; wave < WAVES; wave++) {
    const watching = new AbortController()
    const watched = watch(agent, seen, scrapes, watching.signal)
    lives.push(...(await runMany(engine, CONTAINERS / WAVES)))
    const names = lives.map(({ name }) => `/docker/${name}`)
    await until('all have ended', async () => (await engine.docker('ps', '--quiet', '--filter', 'name=-crowd-')) === '')
    const endedMs = performance.now()
    watching.abort()
    await watched
    await until('the series of the dead go', async () => !hasAny(await agent.scrape(), names), {
      deadlineMs: EXPIRATION_MS + 15_000,
      everyMs: 500,
    })
    t.diagnostic(`gone ${((performance.now() - endedMs) / 1000).toFixed(1)} s after the last one ended`)
    memory.push(agent.memory().anonBytes / MIB)
  }
  t.diagnostic(`${CONTAINERS} containers in ${((performance.now() - startMs) / 1000).toFixed(0)} s`)
  t.diagnostic(`anonymous memory after each wave: ${memory.map((mib) => mib.toFixed(1)).join(', ')} MiB`)

  const collected = lives.filter(({ name, startedMs }) =>
    scrapes.some(({ startMs, endMs }) => startedMs < startMs && endMs < (deaths.get(name) ?? 0)),
  )
  t.diagnostic(`${collected.length} of them lived through one of ${scrapes.length} collections`)
  assert.ok(collected.length > CONTAINERS / 2, `only ${collected.length} lived through a collection`)
  const missing = collected.filter(({ name }) => !seen.has(`/docker/${name}`))
  assert.deepEqual(missing, [])
  const nameless = [...seen].filter((id) => /^\/docker\/[0-9a-f]{12}$/.test(id) && !before.has(id))
  assert.deepEqual(nameless, [])
  const [first = 0, last = 0] = [memory[0], memory.at(-1)]
  assert.ok(last - first < 15, `memory grew by ${last - first} MiB in the second wave`)
})

const idsOn = (page: Page) =>
  new Set(page.samples.map(({ labels }) => labels.container_id).filter((id) => id !== undefined))

/** Scrapes twice a second and notes which containers it saw. */
async function watch(agent: Agent, seen: Set<string>, scrapes: Scrape[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const startMs = Date.now()
    for (const id of idsOn(await agent.scrape())) seen.add(id)
    scrapes.push({ startMs, endMs: Date.now() })
    await sleep(500)
  }
}

async function runMany({ run }: Docker, count: number): Promise<Life[]> {
  const lives: Life[] = []
  let left = count
  const one = async () => {
    while (left-- > 0) {
      const { name } = await run('one', { flags: ['--rm'], command: ['sleep', '1.5'] })
      lives.push({ name, startedMs: Date.now() })
    }
  }
  await Promise.all(Array.from({ length: SEVERAL }, one))
  return lives
}

const hasAny = (page: Page, names: readonly string[]) => {
  const ids = idsOn(page)
  return names.some((name) => ids.has(name))
}

/** By Docker's own events, from now on: when each container died, in milliseconds since the epoch. */
async function watchDeaths(t: TestContext): Promise<ReadonlyMap<string, number>> {
  const deaths = new Map<string, number>()
  const events = spawn('docker', ['events', '--filter', 'event=die', '--format', '{{json .}}'])
  atEnd(t, () => events.kill())
  createInterface(events.stdout).on('line', (line) => {
    const event: { timeNano: number; Actor: { Attributes: { name: string } } } = JSON.parse(line)
    deaths.set(event.Actor.Attributes.name, event.timeNano / 1e6)
  })
  await sleep(300) // it does not say when it has subscribed; who dies before counts as not having lived
  return deaths
}
