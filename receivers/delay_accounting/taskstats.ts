// Delays without BPF: asks the kernel for each process at a collection, and hears of each that ends in between
// (Documentation/accounting/taskstats.rst). Needs CAP_NET_ADMIN, and the initial network namespace to hear of ends.
import { readFileSync } from 'node:fs'
import { openTaskstats, readFiles } from '../../native/index.ts'
import type { Host } from '../host/host.ts'
import { processStat } from '../host/process.ts'
import type { Logger } from '../receiver.ts'
import type { Accounting } from './accounting.ts'
import { countedBy, decodeTaskStats, type Exit, splitAnswers, splitExits, type TaskStats } from './decode.ts'
import { type Lookups, startLedger } from './ledger.ts'
import type { DelaySource } from './source.ts'

/** 560 bytes and headers for each exit, kept for 100 ms: 8 MiB hold some 8000, ten times what a fork storm makes. */
const BUFFER_BYTES = 8 * 1024 * 1024
const DRAIN_MS = 100

type Options = {
  readonly host: Host
  readonly history: boolean
  readonly accounting: Accounting
  readonly log: Logger
  readonly bufferBytes?: number
}

/** Makes the first poll at once. Throws with a remedy when the kernel does not answer. */
export function openTaskstatsDelays({ host, history, accounting, log, bufferBytes }: Options): DelaySource {
  const taskstats = open(bufferBytes ?? BUFFER_BYTES)
  let counted: boolean[] = []
  let exitsHeard = 0
  let toldSilence = false
  const lost = { exit_messages: 0, buffer_overflows: 0, damaged_messages: 0, undecodable_answers: 0 }

  const lookups: Lookups = {
    cgroupOf: (pid) => host.cgroupOf(pid)?.id,
    stat: (pid) => processStat('/proc', pid),
    ask: (tgid) => [...ask(Uint32Array.of(tgid))][0]?.stats,
    isMeasured: (stats, startTicks) => accounting.isMeasured(stats, startTicks),
  }
  const ledger = startLedger(lookups, { history })

  function* ask(tgids: Uint32Array): Generator<{ tgid: number; stats: TaskStats }> {
    for (const { tgid, stats: bytes } of splitAnswers(taskstats.ask(tgids))) {
      const stats = decodeTaskStats(bytes)
      if (stats === undefined) {
        lost.undecodable_answers++
        continue
      }
      if (counted.length === 0) counted = countedBy(stats.version, bytes.length)
      yield { tgid, stats }
    }
  }

  /** Before 5.14 `nodelayacct` takes the waits for a CPU out too, and every delay would be 0. */
  function requireAccounting(): void {
    const [self] = ask(Uint32Array.of(process.pid))
    if (self === undefined || self.stats.accounted) return
    throw new Error(
      'taskstats holds no delays on this kernel · fix: boot without nodelayacct; a kernel with CONFIG_TASK_DELAY_ACCT',
    )
  }

  function drain(): void {
    accounting.look()
    let overflown = false
    for (;;) {
      const { messages, overflows, lost: lostMessages } = taskstats.drain()
      const exits: Exit[] = []
      for (const exit of splitExits(messages)) {
        if (exit === undefined) lost.damaged_messages++
        else exits.push(exit)
      }
      exitsHeard += exits.length
      ledger.ended(exits)
      if (overflows > 0) {
        lost.buffer_overflows += overflows
        lost.exit_messages += lostMessages
        overflown = true
      }
      if (messages.length === 0) break
    }
    if (overflown) ledger.verify()
  }

  /** One file per control group tells of all its processes: cheaper than a look at each in /proc, and always current. */
  function members(): Map<number, number> {
    const cgroups = [...host.cgroups()]
    const { data, ends } = readFiles(cgroups.map(({ path }) => `${host.layout.root}${path}/cgroup.procs`))
    const all = new Map<number, number>()
    for (const [i, { id }] of cgroups.entries()) {
      for (let at = i === 0 ? 0 : (ends[i - 1] ?? 0), pid = 0; at < (ends[i] ?? 0); at++) {
        const byte = data[at] ?? 0
        if (byte !== 0x0a) {
          pid = pid * 10 + byte - 0x30
          continue
        }
        if (pid > 0) all.set(pid, id) // 0: a process outside our pid namespace
        pid = 0
      }
    }
    return all
  }

  function* withCgroups(): Generator<{ tgid: number; cgroup: number; stats: TaskStats }> {
    const cgroups = members()
    for (const { tgid, stats } of ask(Uint32Array.from(cgroups.keys()))) {
      const cgroup = cgroups.get(tgid)
      if (cgroup !== undefined) yield { tgid, cgroup, stats }
    }
  }

  function poll(): void {
    drain()
    ledger.poll(withCgroups())
    // Ends come without their messages: we are in another network namespace, so every pid has to be checked.
    if (exitsHeard > 0 || ledger.losses.missed_exit === 0) return
    ledger.verify()
    if (toldSilence) return
    toldSilence = true
    log.warn('the kernel does not tell of processes that end; what they waited since the last collection is lost', {
      reason: 'exit messages arrive only in the initial network namespace',
      fix: 'run in the network namespace of the host (docker run --network host, hostNetwork: true)',
    })
  }

  let timer: NodeJS.Timeout | undefined
  let stopListening: (() => void) | undefined
  try {
    requireAccounting()
    poll()
    stopListening = host.onMembers((cgroup, pids) => ledger.joined(cgroup.id, pids))
    timer = setInterval(drain, DRAIN_MS)
    timer.unref()
  } catch (error) {
    taskstats.close()
    throw error
  }

  return {
    collect() {
      poll()
      return { totals: ledger.totals(), counted, losses: { ...lost, ...ledger.losses } }
    },
    forget: (cgroups) => ledger.forget(cgroups),
    memory: () => 0,
    close() {
      clearInterval(timer)
      stopListening?.()
      taskstats.close()
    },
  }
}

function open(bufferBytes: number) {
  let taskstats: ReturnType<typeof openTaskstats> | undefined
  try {
    taskstats = openTaskstats()
    taskstats.listen(readFileSync('/sys/devices/system/cpu/possible', 'latin1').trim(), bufferBytes)
    return taskstats
  } catch (error) {
    taskstats?.close()
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(
      `taskstats cannot be read (${reason}) · fix: grant CAP_NET_ADMIN in the initial network namespace; a kernel with CONFIG_TASKSTATS`,
      { cause: error },
    )
  }
}
