// Formats of files that runtimes write, by the names of Docker's drivers.
import { cri } from './cri.ts'
import type { Format, FormatOptions } from './format.ts'
import { jsonFile } from './json_file.ts'
import { local } from './local.ts'

export const FORMATS: Readonly<Record<string, (options: FormatOptions) => Format>> = {
  'json-file': jsonFile,
  local,
  cri,
}
