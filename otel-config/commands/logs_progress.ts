// Says on a terminal how far a long reading has come.
import type { Terminal } from './terminal.ts'

const AFTER_MS = 500
const EVERY_MS = 200

export function createProgress(terminal: Terminal) {
  const startMs = performance.now()
  let bytes = 0
  let shownMs = startMs + AFTER_MS - EVERY_MS
  let isShown = false
  return {
    /** `ofBytes` is 0 where nobody knows. */
    add(length: number, ofBytes: number) {
      bytes += length
      if (!terminal.isErrorWatched) return
      const nowMs = performance.now()
      if (nowMs - shownMs < EVERY_MS) return
      shownMs = nowMs
      isShown = true
      const rate = megabytes(bytes / ((nowMs - startMs) / 1000))
      const share = ofBytes > 0 ? ` of ${megabytes(ofBytes)} MB, ${Math.floor((bytes / ofBytes) * 100)} %` : ' MB'
      terminal.error(`\r\x1b[Kread ${megabytes(bytes)}${share}, ${rate} MB/s`)
    },
    end() {
      if (isShown) terminal.error('\r\x1b[K')
      isShown = false
    },
  }
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)
