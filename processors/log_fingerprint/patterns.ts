// Counts messages by level and pattern. A miss costs an insert, never a scan, so a storm of new patterns is not slower
// than a storm of known ones. What exceeds the room goes to one overflow count per level: nothing is lost.
import { LEVELS } from './levels.ts'

/** How many patterns there may be, by level, and how many there are. Shared by what shares the limit. */
export type Room = {
  /** Patterns of one level. */
  readonly perLevel: number
  readonly used: number[]
  /** A room around this one. */
  readonly total: { used: number; readonly max: number }
}

export const createRoom = (perLevel: number, total: Room['total']): Room => ({
  perLevel,
  used: LEVELS.map(() => 0),
  total,
})

/** Entries of the overflow counts come first, one per level; then those of messages that are only counted. */
export const OVERFLOW = 0
export const UNNAMED = LEVELS.length
const FIRST = LEVELS.length * 2

export type Patterns = ReturnType<typeof createPatterns>

export function createPatterns(room: Room) {
  let mask = 63
  /** Slot → entry + 1. */
  let slots = new Int32Array(mask + 1)
  let high = new Int32Array(64)
  let low = new Int32Array(64)
  let level = new Uint8Array(64)
  let counts = new Float64Array(64)
  let end = FIRST
  for (let i = 0; i < FIRST; i++) level[i] = i % LEVELS.length

  function grow() {
    const size = counts.length * 2
    high = extended(high, new Int32Array(size))
    low = extended(low, new Int32Array(size))
    level = extended(level, new Uint8Array(size))
    counts = extended(counts, new Float64Array(size))
    mask = size * 2 - 1
    slots = new Int32Array(mask + 1)
    for (let entry = FIRST; entry < end; entry++) slots[freeSlot(entry)] = entry + 1
  }

  function freeSlot(entry: number): number {
    let slot = slotOf(low[entry] as number, level[entry] as number, mask)
    while (slots[slot] !== 0) slot = (slot + 1) & mask
    return slot
  }

  return {
    /** Counts one message. Returns its entry. */
    add(patternHigh: number, patternLow: number, ofLevel: number): number {
      let slot = slotOf(patternLow, ofLevel, mask)
      for (let entry = (slots[slot] as number) - 1; entry >= 0; entry = (slots[slot] as number) - 1) {
        if (low[entry] === patternLow && high[entry] === patternHigh && level[entry] === ofLevel) {
          ;(counts[entry] as number)++
          return entry
        }
        slot = (slot + 1) & mask
      }
      const used = room.used[ofLevel] as number
      if (used >= room.perLevel || room.total.used >= room.total.max) {
        ;(counts[OVERFLOW + ofLevel] as number)++
        return OVERFLOW + ofLevel
      }
      room.used[ofLevel] = used + 1
      room.total.used++
      if (end === counts.length) grow()
      high[end] = patternHigh
      low[end] = patternLow
      level[end] = ofLevel
      counts[end] = 1
      slots[freeSlot(end)] = end + 1
      return end++
    },
    /** Counts one message that gets no pattern. */
    addUnnamed(ofLevel: number): number {
      ;(counts[UNNAMED + ofLevel] as number)++
      return UNNAMED + ofLevel
    },
    /** One more than the highest entry. */
    get end() {
      return end
    },
    levelOf: (entry: number) => level[entry] as number,
    countOf: (entry: number) => counts[entry] as number,
    /** As the label says it: empty for what gets no pattern, zeros for the overflow. */
    hashOf(entry: number): string {
      if (entry < UNNAMED) return '0'.repeat(16)
      return entry < FIRST ? '' : hashText(high[entry] as number, low[entry] as number)
    },
    /** A pattern of its own, with a message to show. */
    isNamed: (entry: number) => entry >= FIRST,
    isOverflow: (entry: number) => entry < UNNAMED,
    /** Gives its room back. */
    close() {
      for (let entry = FIRST; entry < end; entry++) {
        const of = level[entry] as number
        room.used[of] = (room.used[of] as number) - 1
      }
      room.total.used -= end - FIRST
    },
  }
}

const slotOf = (low: number, level: number, mask: number) => (low ^ (level << 3)) & mask

function extended<Values extends Int32Array | Uint8Array | Float64Array>(from: Values, to: Values): Values {
  to.set(from)
  return to
}

/** 16 hexadecimal digits. */
export const hashText = (high: number, low: number) => half(high) + half(low)
const half = (bits: number) => (bits >>> 0).toString(16).padStart(8, '0')
