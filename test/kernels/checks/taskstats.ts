// The struct that the kernel fills for a process, as it comes: its version and length, and what we make of them.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { openTaskstats } from '../../../native/index.ts'
import { countedBy, decodeTaskStats, splitAnswers } from '../../../receivers/delay_accounting/decode.ts'
import { defineCheck, type Guest } from '../check.ts'

/** [version, bytes, delays that it holds]: include/uapi/linux/taskstats.h of each kernel. */
const KNOWN = { '5.10': [10, 352, 5], '6.1': [13, 416, 7], '6.12': [14, 432, 8] } as const

type Facts = {
  readonly version: number
  readonly bytes: number
  readonly counted: readonly boolean[]
  readonly accounted: boolean
  readonly cpuNs: number
  /** Of /proc/PID/schedstat, read before and after. */
  readonly schedstatNs: readonly [number, number]
}

export const taskstats = defineCheck<Facts>({
  name: 'taskstats',

  inside() {
    const waited = () => {
      const threads = globSync('/proc/self/task/*/schedstat').map((file) =>
        Number(readFileSync(file, 'latin1').split(' ')[1]),
      )
      return threads.reduce((sum, ns) => sum + ns, 0)
    }
    const connection = openTaskstats()
    const before = waited()
    const [answer] = splitAnswers(connection.ask(Uint32Array.of(process.pid)))
    const after = waited()
    connection.close()
    const stats = answer && decodeTaskStats(answer.stats)
    if (answer === undefined || stats === undefined) throw new Error('the answer cannot be decoded')
    const bytes = answer.stats.length
    const counted = countedBy(stats.version, bytes)
    const { version, accounted, ns } = stats
    return { version, bytes, counted, accounted, cpuNs: ns[0] ?? 0, schedstatNs: [before, after] }
  },

  judge: {
    'the struct has the version, the length and the delays of this kernel': ({ version, bytes, counted }, { line }) => {
      assert.deepEqual([version, bytes, counted.filter(Boolean).length], KNOWN[line])
    },
    'its CPU delay is what schedstat says, where it holds delays at all': (facts, guest) => {
      const { accounted, cpuNs, schedstatNs } = facts
      assert.equal(accounted, holdsDelays(guest))
      if (!accounted) return assert.equal(cpuNs, 0)
      const [before, after] = schedstatNs
      assert.ok(before > 0 && cpuNs >= before && cpuNs <= after, `${before} <= ${cpuNs} <= ${after}`)
    },
  },
})

/** Before 5.14 `nodelayacct` takes the waits for a CPU out too. */
export const holdsDelays = ({ line, delayacct }: Guest) => line !== '5.10' || delayacct
