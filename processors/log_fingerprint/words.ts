// The few words that mean something to the mask, by the hash that a token has anyway.
import { hashOf } from './bytes.ts'

/** Belongs to the number before it: `12 ms`. */
export const UNIT = 1
/** A day, a month, a zone: as variable as the number beside it. */
export const CALENDAR = 2
export const USER = 4
/** What may stand before `user NAME`. */
export const BEFORE_USER = 8
/** `for NAME from`: what opens, and what closes. */
export const OPENS = 16
export const CLOSES = 32
/** States, not values: `isReady=true`. */
export const STATE = 64

const LISTS: readonly (readonly [number, string])[] = [
  [UNIT, 'B KB MB GB TB PB KiB MiB GiB TiB b kb mb gb k M G byte bytes Bytes kB'],
  [UNIT, 'ms us ns s sec secs second seconds msec msecs usec min mins minute minutes hour hours h day days millis'],
  [CALENDAR, 'Mon Tue Wed Thu Fri Sat Sun Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'],
  [CALENDAR, 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'],
  [CALENDAR, 'January February March April June July August September October November December'],
  [CALENDAR, 'UTC GMT CET CEST EST EDT CST CDT MST MDT PST PDT JST'],
  [USER, 'user User'],
  [BEFORE_USER, 'for by from of to as the invalid unknown illegal For By From Of To As The Invalid Unknown Illegal'],
  [OPENS, 'for of For Of'],
  [CLOSES, 'from by at on'],
  [STATE, 'true false True False TRUE FALSE'],
]

const SLOTS = 1024
const hashes = new Int32Array(SLOTS)
const meanings = new Uint8Array(SLOTS)
for (const [meaning, list] of LISTS) for (const word of list.split(' ')) put(hashOf(word), meaning)

function put(hash: number, meaning: number) {
  let slot = hash & (SLOTS - 1)
  while (meanings[slot] !== 0 && hashes[slot] !== hash) slot = (slot + 1) & (SLOTS - 1)
  hashes[slot] = hash
  meanings[slot] = (meanings[slot] as number) | meaning
}

/** What the word with this hash means; 0 for nearly all. */
export function meaningOf(hash: number): number {
  for (let slot = hash & (SLOTS - 1); meanings[slot] !== 0; slot = (slot + 1) & (SLOTS - 1)) {
    if (hashes[slot] === hash) return meanings[slot] as number
  }
  return 0
}
