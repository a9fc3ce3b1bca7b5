// Which leadline this is.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../native/paths.ts'

/** Set by the bundle. */
declare const LEADLINE_VERSION: string | undefined

export const version: string =
  typeof LEADLINE_VERSION === 'string'
    ? LEADLINE_VERSION
    : String(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version)

export const description = 'what your containers use, are allowed, and wait for'
