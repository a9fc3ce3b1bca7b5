// Control groups that are made and removed before anybody can look: the host knows them all the same, from BPF.
import assert from 'node:assert/strict'
import { mkdirSync, rmdirSync, statSync } from 'node:fs'
import * as z from 'zod/mini'
import { hostSettings, startHost } from '../../../receivers/host/index.ts'
import { listeningLog, type Said } from '../../receivers/quiet.ts'
import { defineCheck } from '../check.ts'

const COUNT = 50

type Known = { readonly path: string; readonly ended: boolean; readonly ageMs: number }
type Facts = {
  /** What the file system said while they were there. */
  readonly made: readonly { readonly id: number; readonly path: string }[]
  readonly known: readonly (Known | undefined)[]
  readonly lost: number | undefined
  readonly said: readonly Said[]
}

export const cgroupEvents = defineCheck<Facts>({
  name: 'cgroup_events',

  async inside() {
    const log = listeningLog()
    const host = await startHost({ log, settings: z.parse(hostSettings, { docker: { endpoint: 'unix:///nowhere' } }) })
    const { root } = host.layout
    const fromMs = Date.now()
    mkdirSync(`${root}/outer`)
    // One turn of the event loop: no watch of ours is read in between.
    const made = Array.from({ length: COUNT }, (_, i) => {
      const path = `/outer/short-${i}`
      mkdirSync(root + path)
      const id = statSync(root + path).ino
      rmdirSync(root + path)
      return { id, path }
    })
    await host.refresh(1000)
    const known = made.map(({ id }) => {
      const cgroup = host.cgroup(id)
      return cgroup && { path: cgroup.path, ended: cgroup.endedMs !== undefined, ageMs: cgroup.bornMs - fromMs }
    })
    const lost = host.counts?.().lost_cgroup_events
    await host.stop()
    rmdirSync(`${root}/outer`)
    return { made, known, lost, said: log.said }
  },

  judge: {
    [`${COUNT} that lived for less than a look are known by id and path, as ended, and when they were made`]: (
      facts,
    ) => {
      assert.equal(facts.made.length, COUNT)
      for (const [i, { id, path }] of facts.made.entries()) {
        const known = facts.known[i]
        assert.ok(known, `${path} (${id}) is not known; the log: ${JSON.stringify(facts.said)}`)
        assert.deepEqual([known.path, known.ended], [path, true])
        // uptime tells hundredths of a second.
        assert.ok(known.ageMs >= -20 && known.ageMs < 5000, `${path} was made ${known.ageMs} ms after we began`)
      }
    },
    'none is lost, and nothing is watched without BPF': ({ lost, said }) => {
      assert.equal(lost, 0)
      assert.deepEqual(
        said.filter(({ level, message }) => level === 'warn' || level === 'error' || message.includes('without BPF')),
        [],
      )
    },
  },
})
