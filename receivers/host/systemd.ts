// What kind of unit a service is, by `systemctl show`: once for each unit, many units in one question.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { UnitInfo } from './container_id.ts'
import { type Answer, PENDING, UNKNOWN } from './source.ts'

export type UnitSource = {
  /** Answers at once from what is known. `unit` is a name as systemd writes it, `nginx.service`. */
  ask(unit: string): Answer<UnitInfo>
  /** Resolves when no question is open. */
  settled(): Promise<void>
}

export type SystemdOptions = {
  /** '' for our own root. Of a host around us we see the units, but its systemctl does not speak for us. */
  readonly rootPath: string
  readonly timeoutMs: number
  readonly negativeMs: number
  /** The program that is asked. */
  readonly command?: string
}

/** Units in one question, so that the command line stays short. */
const AT_ONCE = 200

/** Names of instances and transient units never come again, so the oldest are let go; one that lives is asked about anew. */
const MOST_KNOWN = 4096

const NOBODY: UnitSource = { ask: () => UNKNOWN, settled: async () => undefined }

/** Where systemd is not PID 1 nobody is asked. */
export function systemdSource(options: SystemdOptions): UnitSource {
  // The way of sd_booted(3).
  return options.rootPath === '' && existsSync('/run/systemd/system') ? unitSource(options) : NOBODY
}

export function unitSource({
  timeoutMs,
  negativeMs,
  command = 'systemctl',
}: Omit<SystemdOptions, 'rootPath'>): UnitSource {
  const known = new Map<string, UnitInfo>()
  const unknownUntilMs = new Map<string, number>()
  let asked: string[] = []
  const open = new Set<string>()
  let answering: Promise<void> = Promise.resolve()

  async function put(units: readonly string[]): Promise<void> {
    const answers = await showUnits(command, units, timeoutMs)
    for (const unit of units) {
      const info = answers.get(unit)
      if (info) known.set(unit, info)
      else unknownUntilMs.set(unit, Date.now() + negativeMs)
      open.delete(unit)
    }
    for (const answers of [known, unknownUntilMs]) {
      for (const oldest of answers.keys()) {
        if (answers.size <= MOST_KNOWN) break
        answers.delete(oldest)
      }
    }
  }

  return {
    ask(unit) {
      const info = known.get(unit)
      if (info !== undefined) return { state: 'known', info }
      if (open.has(unit)) return PENDING
      if ((unknownUntilMs.get(unit) ?? 0) > Date.now()) return UNKNOWN
      open.add(unit)
      if (asked.push(unit) === 1) {
        answering = answering.then(async () => {
          const units = asked
          asked = []
          for (let at = 0; at < units.length; at += AT_ONCE) await put(units.slice(at, at + AT_ONCE))
        })
      }
      return PENDING
    },
    settled: () => answering,
  }
}

/** By unit; those that systemd does not know, or did not tell of in time, are missing. */
function showUnits(command: string, units: readonly string[], timeoutMs: number): Promise<Map<string, UnitInfo>> {
  const args = ['show', '--no-pager', '--property=Id,LoadState,Type,TriggeredBy', '--', ...units]
  return new Promise((resolve) => {
    // A name that is wrong makes the exit status 1, and the others are told all the same.
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 4 << 20 } as const
    try {
      execFile(command, args, options, (_error, stdout) => resolve(parseUnits(stdout)))
    } catch {
      resolve(new Map()) // some failures to start a program are thrown (no memory), others are told
    }
  })
}

/** `key=value` lines, units apart by an empty one (systemctl(1), show). */
export function parseUnits(text: string): Map<string, UnitInfo> {
  const units = new Map<string, UnitInfo>()
  for (const block of text.split(/\n{2,}/)) {
    const values = new Map<string, string>()
    for (const line of block.split('\n')) {
      const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? []
      if (key !== undefined && value !== undefined) values.set(key, value)
    }
    const id = values.get('Id') ?? ''
    if (id === '' || values.get('LoadState') === 'not-found') continue
    units.set(id, { type: values.get('Type') ?? '', triggeredBy: values.get('TriggeredBy') ?? '' })
  }
  return units
}
