// Rotation by copy and truncate: for a moment the same lines stand in the copy and in the log, and must be read once.
import { bytesAt, closeLogFile, type LogFile, openLogFile, TAIL_BYTES } from './log_file.ts'
import type { Sibling } from './siblings.ts'

/** Whether `copy` is one of what still stands in `current`, whole or not yet: the truncation is about to come. */
export function isBeingCopied(copy: Sibling, current: Sibling): boolean {
  const { size } = copy
  // What was renamed is older than the file that took its place.
  if (copy.compressed || copy.bornMs <= current.bornMs || size > current.size) return false
  const samples = [copy, current].map(({ path }) => sample(path, [0, Math.max(0, size - TAIL_BYTES)], size))
  return samples[0] !== undefined && samples[0] === samples[1]
}

/** Undefined for what is gone. */
function sample(path: string, places: readonly number[], end: number): string | undefined {
  let file: LogFile | undefined
  try {
    file = openLogFile(path)
    if (file === undefined) return undefined
    const { fd } = file
    return places.map((at) => bytesAt(fd, at, end).toString('latin1')).join('')
  } catch {
    return undefined
  } finally {
    if (file) closeLogFile(file)
  }
}
