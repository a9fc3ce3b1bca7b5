// What is looked at in each guest: one half runs there, the other judges out here what it told.
import type { Line } from './debian.ts'

export type Guest = {
  readonly line: Line
  /** Whether the kernel measures waits for disk and memory from its start on. */
  readonly delayacct: boolean
  /** The control groups that init mounts: one v2 tree, or v1 hierarchies and no v2 tree. */
  readonly cgroups: 'v2' | 'v1'
}

export type Check<Facts = unknown> = {
  readonly name: string
  /** Runs in the guest. What it returns comes out as JSON. */
  inside(): Facts | Promise<Facts>
  /** What must be true of it, as sentences. Each becomes a test. */
  readonly judge: Readonly<Record<string, (facts: Facts, guest: Guest) => void>>
}

/** Types the literal, and forgets which facts it is about. */
export const defineCheck = <Facts>(check: Check<Facts>): Check => check as Check
