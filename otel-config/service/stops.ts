// Remembers what has to be stopped, and stops it in the reverse order of the starts, each within what time is left.
import type { Logger } from '../../receivers/receiver.ts'
import { within } from './deadline.ts'

type Stop = (deadlineMs: number, forReload: boolean) => void | Promise<void>

export function createStops(log: Logger) {
  const stops: { readonly what: string; readonly stop: Stop }[] = []
  return {
    add(what: string, stop: Stop) {
      stops.push({ what, stop })
    },

    /** Never throws: what cannot be stopped is said, and the rest is stopped. False when there was such a thing. */
    async run(deadlineMs: number, forReload = false): Promise<boolean> {
      const endMs = performance.now() + deadlineMs
      let isClean = true
      for (const { what, stop } of stops.splice(0).reverse()) {
        // Whoever comes last gets a moment too, because it may hold what the kernel would keep.
        const leftMs = Math.max(100, endMs - performance.now())
        try {
          await within(leftMs, (async () => stop(leftMs, forReload))(), `did not stop within ${Math.round(leftMs)} ms`)
        } catch (error) {
          isClean = false
          log.error('Could not stop cleanly', { component: what, error })
        }
      }
      return isClean
    },
  }
}

export type Stops = ReturnType<typeof createStops>
