// Where names of containers come from: one interface for every runtime.
import type { RuntimeInfo } from './container_id.ts'
import type { Placed } from './container_path.ts'

export type Answer<Info> =
  | { readonly state: 'known'; readonly info: Info }
  /** Asked, not answered yet. */
  | { readonly state: 'pending' }
  /** The runtime does not know it, did not answer in time, or is not there. */
  | { readonly state: 'unknown' }

export const PENDING = { state: 'pending' } as const
export const UNKNOWN = { state: 'unknown' } as const

export interface ContainerSource {
  /** Answers at once from what is known; a question that has to be put to the runtime is put once. */
  ask(placed: Placed): Answer<RuntimeInfo>
  /** Resolves when no question is open. */
  settled(): Promise<void>
  stop(): Promise<void>
}
