// Loads what this kernel accepts of a BPF object: one refusal never takes the rest.
// libbpf cannot add a program to a loaded object, so the preferred set is tried at once; when it fails, each program
// is tried by itself, and the best set of those that the kernel takes is loaded.
import { type BpfError, type BpfObject, type BpfOptions, loadBpf } from './index.ts'

export type BpfWishes<Group extends string> = {
  /** For each task its programs, the preferred one first: `{ exits: ['tp_btf_exit', 'raw_tp_exit'] }`. One of them runs. */
  readonly groups: Readonly<Record<Group, readonly string[]>>
  /** For iterators over the entries of a map: which, by program. */
  readonly over?: Readonly<Record<string, string>>
} & Omit<BpfOptions, 'programs'>

/** A program that this kernel did not take, and why. */
export type Refusal = { readonly program: string; readonly error: BpfError }

export type Loaded<Group extends string> = {
  /** Loaded, with `programs` attached. Undefined when nothing could be loaded. Whoever asked closes it. */
  readonly object: BpfObject | undefined
  /** For each group the program that runs; undefined when none of them does. */
  readonly programs: Readonly<Record<Group, string | undefined>>
  /** Everything that was refused on the way, in the order of the groups. */
  readonly refused: readonly Refusal[]
}

/**
 * Loads and attaches one program of each group, the first that the kernel takes. Iterators are attached too,
 * which runs nothing yet. Throws only for mistakes of ours (a TypeError), never for what the kernel refuses.
 */
export function loadWhatWorks<const Group extends string>(
  object: Uint8Array,
  { groups, over = {}, ...rest }: BpfWishes<Group>,
): Loaded<Group> {
  const names = Object.keys(groups) as Group[]
  const start = (programs: readonly string[]) => tryToStart(object, { ...rest, programs }, over)
  const choose = (pick: (alternatives: readonly string[]) => string | undefined) =>
    Object.fromEntries(names.map((group) => [group, pick(groups[group])])) as Record<Group, string | undefined>

  const preferred = choose(([first]) => first)
  const atOnce = start(running(preferred))
  if ('object' in atOnce) return { object: atOnce.object, programs: preferred, refused: [] }

  const refused: Refusal[] = []
  const accepted = choose((alternatives) =>
    alternatives.find((program) => {
      const alone = start([program])
      if ('object' in alone) alone.object.close()
      else refused.push({ program, error: alone.error })
      return 'object' in alone
    }),
  )
  const nothing = choose(() => undefined)
  const programs = running(accepted)
  if (programs.length === 0) return { object: undefined, programs: nothing, refused }
  const best = start(programs)
  if ('object' in best) return { object: best.object, programs: accepted, refused }
  // Each went by itself and all of them do not: no single program is to blame, so every one has the same reason.
  const together = programs.map((program) => ({ program, error: best.error }))
  return { object: undefined, programs: nothing, refused: [...refused, ...together] }
}

/** In words, each reason once, and without names where it is the same for all: so it is without the capability. */
export function refusalText(refused: readonly Refusal[]): string {
  const programs = new Map<string, string[]>()
  for (const { program, error } of refused) {
    const reason = error.message.replaceAll(`the BPF program ${program}`, 'them').replaceAll(program, 'it')
    const same = programs.get(reason)
    if (same === undefined) programs.set(reason, [program])
    else same.push(program)
  }
  const [[only] = ['']] = programs
  return programs.size === 1
    ? only
    : Array.from(programs, ([reason, names]) => `${names.join(', ')}: ${reason}`).join('; ')
}

const running = (chosen: Readonly<Record<string, string | undefined>>): string[] =>
  Object.values(chosen).filter((program) => program !== undefined)

function tryToStart(
  object: Uint8Array,
  options: BpfOptions,
  over: Readonly<Record<string, string>>,
): { object: BpfObject } | { error: BpfError } {
  let loaded: BpfObject | undefined
  try {
    loaded = loadBpf(object, options)
    for (const program of options.programs) loaded.attach(program, over[program])
    return { object: loaded }
  } catch (error) {
    loaded?.close()
    if (!isRefusal(error)) throw error
    return { error }
  }
}

/** What the kernel or libbpf said no to, as against a mistake of ours. */
function isRefusal(error: unknown): error is BpfError {
  return error instanceof Error && 'syscall' in error && 'code' in error
}
