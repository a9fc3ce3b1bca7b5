// What each container uses and what it is allowed, from its top control group.
import { setImmediate as breathe } from 'node:timers/promises'
import * as z from 'zod/mini'
import { defineReceiver } from '../receiver.ts'
import { parseDiskNames } from './files.ts'
import { metrics } from './metrics.ts'
import { readCpu, readDisks, readMemory, readPids, readPressure } from './readings.ts'

/** Others get their turn after this much reading; a stall of 25 ms would be felt. */
const SLICE_MS = 8

export default defineReceiver({
  name: 'cgroup',
  summary: 'What each container uses, what it is allowed, how often it was throttled and what pressure it is under.',
  stability: 'alpha',
  config: z.strictObject({}),
  metrics,
  needs: [],

  start(_config, { host }) {
    return {
      async collect(out) {
        const diskNames = parseDiskNames(host.read('/proc/diskstats') ?? '')
        let sliceStartMs = performance.now()
        for (const { top } of [...host.containers()]) {
          const reading = {
            layout: host.layout,
            path: top.path,
            read: host.read,
            record: out.record.bind(out, top),
            unreadable: (file: string, text: string) =>
              out.failed(new Error(`${file}: expected a number, got ${JSON.stringify(text.slice(0, 40))}`)),
            deviceName: (majorMinor: string) => diskNames.get(majorMinor) ?? majorMinor,
          }
          for (const read of [readCpu, readMemory, readPressure, readDisks, readPids]) read(reading)
          if (performance.now() - sliceStartMs > SLICE_MS) {
            await breathe()
            sliceStartMs = performance.now()
          }
        }
      },
    }
  },
})
