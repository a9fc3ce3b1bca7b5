// Where names of containers come from: one interface for every runtime.
import type { RuntimeInfo } from './container_id.ts'

export type Answer =
  | { readonly state: 'known'; readonly info: RuntimeInfo }
  /** Asked, not answered yet. */
  | { readonly state: 'pending' }
  /** The runtime does not know it, did not answer in time, or is not there. */
  | { readonly state: 'unknown' }

export interface ContainerSource {
  /** Answers at once from what is known; a question that has to be put to the runtime is put once. */
  ask(id: string): Answer
  /** Resolves when no question is open. */
  settled(): Promise<void>
  stop(): void
}
