// Waiting with an end.

/** Resolves or rejects as the promise does, or rejects with `message` after `ms`. 0 or less: waits as long as it takes. */
export function within<T>(ms: number, promise: Promise<T>, message: string): Promise<T> {
  if (!(ms > 0)) return promise
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Late(message)), Math.min(ms, 2 ** 31 - 1))
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** It took longer than it was given. */
export class Late extends Error {}
