// A logger whose lines go to another one, which may change: for what outlives the service that started it.
import type { Logger } from './receiver.ts'

export type Relay = Logger & {
  /** From now on they go there. */
  to(log: Logger): void
}

export function createRelay(first: Logger): Relay {
  let target = first
  return {
    debug: (message, fields) => target.debug(message, fields),
    info: (message, fields) => target.info(message, fields),
    warn: (message, fields) => target.warn(message, fields),
    error: (message, fields) => target.error(message, fields),
    to(log) {
      target = log
    },
  }
}
