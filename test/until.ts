// Waiting for what will come, with a deadline instead of a guess.
import { setTimeout as sleep } from 'node:timers/promises'

type Patience = { readonly deadlineMs?: number; readonly everyMs?: number }

/** Polls until the answer is truthy, and returns it. Throws what was waited for, and the last error, at the deadline. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  { deadlineMs = 10_000, everyMs = 50 }: Patience = {},
): Promise<NonNullable<T>> {
  const startMs = performance.now()
  let cause: unknown
  do {
    try {
      const answer = await ask()
      if (answer) return answer
      cause = undefined
    } catch (error) {
      cause = error
    }
    await sleep(everyMs)
  } while (performance.now() - startMs < deadlineMs)
  throw new Error(`waited ${deadlineMs} ms in vain: ${what}`, { cause })
}
