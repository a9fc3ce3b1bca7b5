// Which configuration a command means when none is named.
import { join } from 'node:path'
import { root } from '../../native/paths.ts'
import type { Wanted } from '../config/load.ts'
import type { Environment } from '../config/sources.ts'
import type { Flags } from './arguments.ts'

export const builtIn = join(root, 'otel-config/agent.yaml')

export const wantedBy = ({ config, set }: Flags, environment: Environment): Wanted => {
  return { configs: config.length > 0 ? config : [builtIn], sets: set, environment }
}
