// Which rows of a table have arrived where they are sent. What has not may outlive its subject, as far as there is room.
import type { Store } from './series.ts'

/** `maxHeld`: series of the dead that may wait; none when absent. */
export function createDelivery(store: Store, maxHeld: (() => number) | undefined) {
  let held = 0
  let lost = 0

  const isUndelivered = (slot: number) => store.unsettled.get(slot) > store.delivered.get(slot)

  return {
    isUndelivered,

    /** Before a walk over all series, in which those that are held are counted anew. */
    recount() {
      held = 0
    },

    /** Whether a series that is to go stays, because its last number still has to arrive. */
    isHeld(slot: number): boolean {
      if (maxHeld === undefined || !isUndelivered(slot)) return false
      if (held >= maxHeld()) {
        lost++
        return false
      }
      held++
      return true
    },

    deliver(slots: readonly number[], generation: number) {
      // A slot that changed hands meanwhile belongs to a younger number.
      for (const slot of slots) store.delivered.set(slot, Math.max(generation, store.delivered.get(slot)))
    },

    get lost() {
      return lost
    },
  }
}
