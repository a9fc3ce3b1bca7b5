/* SPDX-License-Identifier: GPL-2.0 */
/* Every difference between kernels that our programs know of, with the commit that made it. */
#pragma once

/*
 * task_delay_info and taskstats grew: compaction ("delayacct: track delays from memory compact"), write-protect copies
 * ("delayacct: track delays from write-protect copy") and interrupts ("delayacct: track delays from IRQ/SOFTIRQ") came
 * one after another. 0 where the kernel lacks the member; `counters.counted` tells which ones it has.
 */
#define FIELD_OR_0(pointer, member) (bpf_core_field_exists((pointer)->member) ? (pointer)->member : 0)
#define HAS(type, member) bpf_core_field_exists(((type *)0)->member)
