// What is written down of a log's place: its current file, the one before it that may still be written, and where a line
// began that has not ended.
import type { Saved, SavedFile } from './checkpoints.ts'
import type { Format } from './formats/format.ts'
import type { LogFile } from './log_file.ts'
import { savedFile } from './start.ts'

export type Places = {
  /** The file whose records are decoded now. */
  reading: LogFile | undefined
  /** Tells the format that the file has changed, and remembers where an open line began. */
  turnTo(file: LogFile): void
  /** After a restart: the files that were found for what was saved, with what had not ended back in the format. */
  resumed(files: readonly LogFile[], saved: Saved): void
  /** Oldest first; `behind` is the last one that was let go of. */
  store(files: readonly LogFile[], behind: LogFile | undefined): void
}

/** The current file, and those before it that may still be written. */
const MOST_SAVED = 2

export function keepPlaces(format: Format, save: (saved: Saved) => void): Places {
  let reading: LogFile | undefined
  /** Where a line began that has not ended, in a file before the one that is read. */
  let carried: SavedFile | undefined

  const isCarried = ({ dev, ino }: { readonly dev: unknown; readonly ino: unknown }): boolean =>
    String(ino) === carried?.ino && String(dev) === carried.dev

  function replayOf(file: LogFile, held: number | undefined): number | undefined {
    if (file === reading) return held
    return isCarried(file) ? carried?.replay : undefined
  }

  return {
    get reading() {
      return reading
    },
    set reading(file) {
      reading = file
    },
    turnTo(file) {
      if (file === reading) return
      const held = format.heldFrom()
      if (held !== undefined && reading !== undefined && carried === undefined) carried = savedFile(reading, held)
      format.nextFile()
      reading = file
    },
    resumed(files, saved) {
      reading = files.findLast(({ offset }) => offset > 0) ?? files[0]
      const [before] = saved.files
      if (saved.files.length > 1 && format.heldFrom() === 0 && before?.replay !== undefined) carried = before
    },
    store(files, behind) {
      // What was not begun yet is found again by what comes before it.
      const begun = files.filter(({ offset }) => offset > 0).slice(-MOST_SAVED)
      const [first = behind ?? files[0]] = begun
      if (first === undefined) return
      const held = format.heldFrom()
      if (held !== 0) carried = undefined
      const list = (begun.length > 0 ? begun : [first]).map((file) => savedFile(file, replayOf(file, held)))
      if (carried !== undefined && !list.some(isCarried)) list.unshift(carried)
      save({ files: list, modifiedMs: first.readModifiedMs })
    },
  }
}
