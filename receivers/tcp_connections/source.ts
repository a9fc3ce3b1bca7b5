// What both ways of looking at connections give: by BPF (counted.ts) and by sock_diag alone.
import type { Flows } from './flows.ts'
import type { Listening } from './listens.ts'
import type { Known } from './report.ts'
import type { Figures } from './telemetry.ts'

export type Source = {
  readonly known: Known
  /** Brings `flows` up to date, and returns who listens. */
  collect(flows: Flows): Iterable<Listening> | Promise<Iterable<Listening>>
  figures(): Figures
  close(): void
}
