// What a person wants to see first: a table of containers on standard output, or every point.
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod/mini'
import type { Batch } from '../../../processors/processor.ts'
import { duration } from '../../../receivers/schema.ts'
import { defineExporter } from '../../exporter.ts'
import { addBatch, emptyLook, type Look, ratesBetween } from './rates.ts'
import { containerTable } from './table.ts'

/** Rates need two looks; this far apart the first table is there within two seconds of the start. */
const FIRST_LOOK_MS = 700

export default defineExporter({
  name: 'debug',
  summary:
    'Prints to standard output: a table of containers (basic), a line per point (normal), or all of it (detailed).',
  stability: 'alpha',
  config: z.strictObject({
    verbosity: z._default(z.enum(['basic', 'normal', 'detailed']), 'basic'),
    /** How often the table is printed. */
    interval: z._default(duration(), 60_000),
  }),

  create({ verbosity, interval }, { host, collect, log }) {
    const stopping = new AbortController()
    /** The one that is being taken: what is collected for others between two tables is in neither. */
    let look: Look | undefined
    let work: Promise<void> = Promise.resolve()

    async function takeLook(): Promise<Look> {
      const own = emptyLook()
      look = own
      await collect(0)
      look = undefined
      return own
    }

    async function printTables() {
      let before = await takeLook()
      let waitMs = FIRST_LOOK_MS
      while (!stopping.signal.aborted) {
        await sleep(waitMs, undefined, { signal: stopping.signal, ref: false })
        const after = await takeLook()
        const { hostname, kernelVersion } = host.identity
        const heading = `${hostname}, Linux ${kernelVersion}, ${after.containers.size} containers, per second over ${Math.round(waitMs / 100) / 10} s`
        process.stdout.write(`${containerTable(ratesBetween(before, after), heading, process.stdout.columns ?? 140)}\n`)
        before = after
        waitMs = interval
      }
    }

    function printPoints({ receiver, collectedMs, points }: Batch) {
      const at = new Date(collectedMs).toISOString()
      for (const { name, metric, value, attributes, resource, subject } of points) {
        const about = { ...resource?.labels, ...attributes }
        const line =
          verbosity === 'normal'
            ? `${name} ${JSON.stringify(about)} ${value}`
            : JSON.stringify({
                at,
                receiver,
                name,
                kind: metric.kind,
                unit: metric.unit,
                value,
                attributes,
                resource: resource?.attributes,
                startMs: subject.bornMs,
              })
        process.stdout.write(`${line}\n`)
      }
    }

    return {
      start() {
        if (verbosity !== 'basic') return
        // After the pipelines have started, which the next turn is.
        work = sleep(0)
          .then(printTables)
          .catch((error: Error) => {
            if (!stopping.signal.aborted) log.warn('no table', { error: error.message })
          })
      },
      consume(batch) {
        if (verbosity !== 'basic') printPoints(batch)
        else if (look !== undefined) addBatch(look, batch)
      },
      async stop() {
        stopping.abort()
        await work
      },
    }
  },
})
