// Where a command's answers go, and what it may know of whoever asked.
import { writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import type { Environment } from '../config/sources.ts'

export type Terminal = {
  print(text: string): void
  error(text: string): void
  /** A person is looking at stdout. */
  readonly isWatched: boolean
  /** Of that person's screen, in characters; it may change. Undefined where nobody looks. */
  columns(): number | undefined
  /** And at stderr. */
  readonly isErrorWatched: boolean
  readonly environment: Environment
}

export const terminal: Terminal = {
  print: (text) => write(1, text),
  error: (text) => write(2, text),
  isWatched: isatty(1),
  columns: () => (isatty(1) ? process.stdout.columns : undefined),
  isErrorWatched: isatty(2),
  environment: process.env,
}

/**
 * All of it before it returns: process.stdout would keep what a pipe has no room for, and lose it when the command
 * ends. Where nobody reads any more (`| head`), the command ends, too.
 */
function write(descriptor: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(descriptor, bytes, at)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE') process.exit(0)
      if (code !== 'EAGAIN') throw error
      Atomics.wait(wait, 0, 0, 1)
    }
  }
}

const wait = new Int32Array(new SharedArrayBuffer(4))
