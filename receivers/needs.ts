// What a host must offer, said once, in a form that the start-up log, `components` and the docs all read.

export type Need = {
  /** What is asked of the host, in the field's words: `kernel.task_delayacct=1`, `CAP_BPF`. */
  readonly name: string
  /** Why we ask. */
  readonly why: string
  /** What is missing while it is not met. */
  readonly degrades: string
  /** The command or flag that would change it. We never run it ourselves. */
  readonly fix: string
  /** True when it is met now. Cheap, and leaves no trace. */
  check(): boolean
}
