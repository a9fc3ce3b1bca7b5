// The receiver is started and stopped again and again, as reloads of the configuration do: nothing of it stays, neither
// in the process nor in the kernel. LEADLINE_LONG=1: ten thousand rounds, and what is held after five thousand is held
// after ten thousand.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { clientRouterServer } from './network.ts'
import { keeping, startReceiver } from './tcp.ts'

const needs = requires('root', 'addon', 'bpf')
const isLong = process.env.LEADLINE_LONG === '1'
const ROUNDS = { bpf: isLong ? 5000 : 20, sock_diag: isLong ? 5000 : 200 }
/** Until the heap and the allocator have the size that they keep: V8 and malloc take 90 MB in the first three thousand. */
const WARM_UP = { bpf: isLong ? 5000 : 3, sock_diag: isLong ? 5000 : 50 }
/** A closed program or map that was forgotten holds a descriptor; memory that was forgotten holds at least a map of JavaScript. */
const MOST_BYTES_A_ROUND = isLong ? 2048 : 20_480

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

function held() {
  const descriptors = readdirSync('/proc/self/fd').length
  const ofBpf = readdirSync('/proc/self/fdinfo').filter((fd) => {
    try {
      return /^(?:prog|map|link)_id:/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))
    } catch {
      return false // the descriptor of the listing itself
    }
  }).length
  return { descriptors, ofBpf, threads: readdirSync('/proc/self/task').length }
}

/** All that JavaScript and the addon hold; in a long run what the process has of the machine. */
function memoryBytes(): number {
  for (let i = 0; i < 3; i++) collectGarbage()
  const { rss, heapUsed, external } = process.memoryUsage()
  return isLong ? rss : heapUsed + external
}

for (const source of ['bpf', 'sock_diag'] as const) {
  test(
    `${source}: after ${WARM_UP[source] + ROUNDS[source]} starts and stops there is as much as before: memory, descriptors, programs, maps, threads`,
    needs,
    async (t) => {
      const { client, server } = clientRouterServer(t)
      await keeping(server, 'listen', '0.0.0.0', 7000)
      await keeping(client, 'hold', '10.77.2.2', 7000, 10, 100)
      const one = await startReceiver(t, { inside: [client, server], config: { source } })
      await one.collect()
      await one.stop()
      for (let i = 0; i < WARM_UP[source]; i++) await one.again()
      const [before, beforeBytes] = [held(), memoryBytes()]
      // Those that the host's own knowledge of control groups needs.
      assert.ok(before.ofBpf < 20, `${before.ofBpf} of BPF`)
      for (let i = 1; i <= ROUNDS[source]; i++) {
        await one.again()
        // Told at once, because a test's diagnostics come at its end.
        if (i % 100 === 0 && isLong) process.stderr.write(`${source} ${i}: ${memoryBytes() - beforeBytes} bytes more\n`)
      }
      const more = memoryBytes() - beforeBytes
      t.diagnostic(`${ROUNDS[source]} rounds, ${(more / 1024).toFixed(0)} KiB more`)
      await until('what goes on in the background has ended', () => held().descriptors <= before.descriptors)
      assert.deepEqual(held(), before)
      assert.ok(more < ROUNDS[source] * MOST_BYTES_A_ROUND, `${more} bytes more`)
    },
  )
}
