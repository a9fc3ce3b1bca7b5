// What the kernel writes when something goes wrong, as dmesg prints it: one message with its dump, not one per frame.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashOf, levelOf, readMessages } from './given.ts'

const OUT_OF_MEMORY = `[31961.559087] hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
[31961.559098] CPU: 0 UID: 0 PID: 23540 Comm: hog Not tainted 6.18.44 #1 PREEMPT(none) 
[31961.559102] Call Trace:
[31961.559106]  <TASK>
[31961.559123]  dump_stack_lvl+0x57/0x80
[31961.559136]  oom_kill_process.cold+0x8/0x8a
[31961.559169]  ? ___pte_offset_map+0x17/0x100
[31961.559191]  asm_exc_page_fault+0x22/0x30
[31961.559194] RIP: 0033:0x7f2b214580ba
[31961.559196] Code: 00 00 48 c7 c1 ff ff ff ff c4 e2 e8 f5 c9 c4 e1 fb 92 c9 <f3> aa 48 89 d0 c3 48
[31961.559197] RSP: 002b:00007ffde608aa08 EFLAGS: 00010206
[31961.559199] RAX: 0000000000000001 RBX: 0000000000000002 RCX: 0000000000024010
[31961.559202] R10: 0000000000000022 R11: 0000000000000246 R12: 0000000000000002
[31961.559212]  </TASK>
[31961.559213] memory: usage 12288kB, limit 12288kB, failcnt 23273
[31961.559316] Memory cgroup out of memory: Killed process 23540 (hog) total-vm:14948kB, anon-rss:12288kB, UID:0
[31962.000000] Out of memory: Killed process 4711 (java) total-vm:8123456kB
`

/** With tasks in brackets (CONFIG_PRINTK_CALLER), modules, and what stands around an x86 oops. */
const OOPS = `[   86.100000][  T812] BUG: kernel NULL pointer dereference, address: 0000000000000010
[   86.100010][  T812] Oops: Oops: 0002 [#1] SMP NOPTI
[   86.100020][  T812] CPU: 1 UID: 0 PID: 812 Comm: insmod Tainted: G           OE       6.12.0 #2
[   86.100030][  T812] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009)
[   86.100040][  T812] Workqueue: events do_work [bad]
[   86.100050][  T812] RIP: 0010:bad_init+0x12/0x1000 [bad]
[   86.100060][  T812] CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033
[   86.100070][  T812] CR2: 0000000000000010 CR3: 000000010a3c2000 CR4: 0000000000750ef0
[   86.100080][  T812] PKRU: 55555554
[   86.100090][  T812] Call Trace:
[   86.100100][  T812]  do_one_initcall+0x5b/0x310
[   86.100110][  T812]  ? bad_exit+0x10/0x10 [bad]
[   86.100120][  T812] Modules linked in: bad(OE+) nf_tables
[   86.100130][  T812] ---[ end trace 0000000000000000 ]---
`

const ARM = `[    4.200000] Unable to handle kernel paging request at virtual address ffff800010000000
[    4.200010] CPU: 3 PID: 1 Comm: swapper/0 Not tainted 5.10.0 #1
[    4.200020] pstate: 60400005 (nZCv daif +PAN -UAO -TCO BTYPE=--)
[    4.200030] pc : do_exit+0x1c/0x9c
[    4.200040] lr : do_exit+0x18/0x9c
[    4.200050] sp : ffff800010003d60
[    4.200060] x29: ffff800010003d60 x28: 0000000000000000
[    4.200070] Call trace:
[    4.200080]  do_exit+0x1c/0x9c
[    4.200090]  [<ffffffff81234567>] ? older_kernels+0x5/0x10
`

const spans = (log: string) => readMessages(log).map(({ line, lines, level }) => [line, lines, level])
const humanTime = (log: string) => log.replaceAll(/^\[ *\d+\.\d+\]/gm, '[Wed Nov 25 22:56:12 2026]')

test('frames and registers belong to the message above, which is an error', () => {
  const outOfMemory = [
    [1, 14, 'error'],
    [15, 1, 'unknown'],
    [16, 1, 'error'],
    [17, 1, 'error'],
  ]
  assert.deepEqual(spans(OUT_OF_MEMORY), outOfMemory)
  assert.deepEqual(spans(humanTime(OUT_OF_MEMORY)), outOfMemory)
  assert.deepEqual(spans(OOPS), [
    [1, 1, 'unknown'],
    [2, 13, 'error'],
  ])
  assert.deepEqual(spans(ARM), [[1, 10, 'error']])
})

test('a dump changes nothing about the pattern of its message, wherever chunks are cut', () => {
  for (const log of [OUT_OF_MEMORY, OOPS, ARM]) {
    const whole = readMessages(log)
    const lines = log.split('\n')
    assert.equal(whole[0]?.hash, hashOf(lines[0] ?? ''))
    for (let cut = 1; cut < lines.length; cut++) assert.deepEqual(readMessages(log, [cut]), whole, `cut at ${cut}`)
    // Lines that were read before may not be known as messages of their own afterwards.
    for (const line of lines) hashOf(line)
    assert.deepEqual(readMessages(log), whole)
  }
})

test('what only looks like a part of a dump is a message of its own', () => {
  const partitions = '[    1.100000] sd 0:0:0:0: [sda] Attached SCSI disk\n[    1.200000]  nvme0n1: p1 p2 p3\n'
  assert.equal(readMessages(partitions).length, 2)
  const cpu = '[    0.100000] smpboot: Allowing 2 CPUs\n[    0.200000] CPU: L1 I cache: 64K, L1 D cache 64K\n'
  assert.equal(readMessages(cpu).length, 2)
  const device = `${ARM}[    5.000000] e1000: 0000:00:03.0: link is up\n[    5.100000] eth0: 100 packets\n`
  assert.equal(readMessages(device).length, 3)
  const registers = '[    1.100000] a driver says hello\n[    1.200000] RAX: 0000000000000001 RBX: 0000000000000002\n'
  assert.equal(readMessages(registers).length, 2)
  const program = `2024-05-02 11:20:31 INFO started\n2024-05-02 11:20:32 Call Trace:\n2024-05-02 11:20:33  f+0x1/0x2\n`
  assert.equal(readMessages(program).length, 3)
  assert.equal(readMessages('[    1.300000] Call Trace:\n').length, 1)
})

test('the head of a trace is no level, but a trace message of a program is', () => {
  assert.equal(levelOf('[31961.559102] Call Trace:'), 'unknown')
  assert.equal(levelOf('Call trace:'), 'unknown')
  assert.equal(levelOf('Stack trace: see below'), 'unknown')
  assert.equal(levelOf('app Trace: entered'), 'debug')
  assert.equal(levelOf('Trace: entered'), 'debug')
})
