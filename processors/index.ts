// Every processor that a configuration can name. Adding one is its folder, its test and one line here.
import containerAttribution from './container_attribution/index.ts'
import logFingerprint from './log_fingerprint/index.ts'
import natResolution from './nat_resolution/index.ts'
import type { ProcessorDefinition } from './processor.ts'

export const processors: readonly ProcessorDefinition[] = [containerAttribution, logFingerprint, natResolution]
