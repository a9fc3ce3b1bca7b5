// Where a command's answers go, and what it may know of whoever asked.
import type { Environment } from '../config/sources.ts'

export type Terminal = {
  print(text: string): void
  error(text: string): void
  /** A person is looking at stdout. */
  readonly isWatched: boolean
  readonly environment: Environment
}

export const terminal: Terminal = {
  print: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  isWatched: process.stdout.isTTY === true,
  environment: process.env,
}
