// Gives the memory of a burst back. V8 keeps the pages of a heap that was large for a while, and its own reducer takes
// an agent that wakes up several times a second for too busy to be disturbed. Told to save memory, it collects in small
// steps, compacts, and returns what is free; told so all the time, it would cost an idle agent a third more CPU time.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'

const LOOK_EVERY_MS = 30_000
/** Below this a heap is no burden. */
const SPARE_BYTES = 8 << 20
/** Of what is in use, as of the last collection and since. */
const SPARE_PART = 0.4
/** A heap that stays apart for so long has its reasons; then it rests for as long. */
const MOST_LOOKS = 4

export type HeapSize = Readonly<Record<'total_heap_size' | 'used_heap_size', number>>

/** Whether much more is held than is used. */
export const isSpacious = ({ total_heap_size: held, used_heap_size: used }: HeapSize): boolean =>
  held - used > Math.max(SPARE_BYTES, used * SPARE_PART)

type Options = {
  readonly everyMs?: number
  readonly size?: () => HeapSize
  readonly save?: (isSaving: boolean) => void
}

const saveMemory = (isSaving: boolean) =>
  setFlagsFromString(isSaving ? '--memory-saver-mode' : '--no-memory-saver-mode')

/** Looks now and then; the result ends it. */
export function watchHeap({
  everyMs = LOOK_EVERY_MS,
  size = getHeapStatistics,
  save = saveMemory,
}: Options = {}): () => void {
  let looks = 0
  function look() {
    const wasSaving = looks > 0
    looks = isSpacious(size()) ? looks + 1 : Math.min(0, looks + 1)
    if (looks > MOST_LOOKS) looks = -MOST_LOOKS
    if (looks > 0 !== wasSaving) save(looks > 0)
  }
  const looking = setInterval(look, everyMs).unref()
  return () => {
    clearInterval(looking)
    if (looks > 0) save(false)
  }
}
