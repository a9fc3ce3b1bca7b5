// The delays that the kernel counts, in the order of bpf/delay_accounting.bpf.c, and what we call them.
import type { Metric } from '../receiver.ts'

const counter = (description: string): Metric => ({ kind: 'counter', unit: 's', description })

export const delays = {
  'container.resources.cpu.delay': counter('Time that runnable tasks waited for a CPU.'),
  'container.resources.disk.delay': counter('Time that tasks waited for synchronous block I/O.'),
  'container.resources.swap.delay': counter('Time that tasks waited for pages to be swapped in.'),
  'container.resources.memory.reclaim.delay': counter('Time that tasks spent freeing memory for themselves.'),
  'container.resources.memory.thrashing.delay': counter('Time that tasks waited for pages that had just been evicted.'),
  'container.resources.memory.compaction.delay': counter('Time that tasks spent compacting memory for themselves.'),
  'container.resources.memory.wpcopy.delay': counter('Time that tasks spent copying write-protected pages.'),
  'container.resources.irq.delay': counter('Time that tasks lost to interrupts which came while they ran.'),
} as const

export type DelayName = keyof typeof delays

/** Index = place in the kernel program's arrays. The first needs no accounting switched on. */
export const delayNames = Object.keys(delays) as DelayName[]
