/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between kernels that our programs know of, with the commit that made it.
 *
 * Task storage in tracing programs: 5.12 (a10787e6d58c). Before it these programs do not load, and taskstats is used.
 *
 * struct task_delay_info and struct taskstats grew:
 *   thrashing   4.20  b1d29ba82cf2 "delayacct: track delays from thrashing cache pages"
 *   compact     5.17  5bf182815344 "delayacct: track delays from memory compact"
 *   wpcopy      5.19  662ce1dc9caf "delayacct: track delays from write-protect copy"
 *   irq         6.5   a3b2aeac9d15 "delayacct: track delays from IRQ/SOFTIRQ"
 *
 * Sockets:
 *   iter/task_file and bpf_sock_from_file()  5.8, 5.11  4f19cab76136 "bpf: Add a bpf_sock_from_file helper"
 *   atomic operations that return the value   5.12       5ffa25502b5a "bpf: Add instructions for atomic_[cmp]xchg"
 *   sk_cgrp_data is a pointer                 5.15       8520e224f547; before, a number whose lowest bit says that it is none
 *
 * task->delays is NULL for what was forked while kernel.task_delayacct was 0, the default since 5.14 (e4042ad49235).
 */
#pragma once

#define HAS(type, member) bpf_core_field_exists(((type *)0)->member)
/* 0 where the kernel lacks the member; HAS tells whether it does. */
#define FIELD_OR_0(pointer, member) (bpf_core_field_exists((pointer)->member) ? (pointer)->member : 0)
