// Who answers a connection, by the host's knowledge of address translation; and which destinations nobody translates.
import type { Counting } from './bpf.ts'
import type { Answer } from './connections.ts'
import type { Connection } from './records.ts'

export type Resolver = {
  /** For each connection its answer. Those that `isAsked` leaves out need none. Classes the destinations. */
  answers(
    connections: readonly Connection[],
    isAsked: (connection: Connection) => boolean,
    counting: Counting,
  ): Answer[]
  /** Takes in what was heard of new translations. */
  follow(counting: Counting): void
  losses(): Readonly<Record<string, number>>
}
