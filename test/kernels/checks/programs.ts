// Every program of every object, by itself: the kernel loads and attaches it, or is listed here as one that does not.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type BpfError, loadBpf } from '../../../native/index.ts'
import { bpfPath, root } from '../../../native/paths.ts'
import { defineCheck } from '../check.ts'
import type { Line } from '../debian.ts'

/** Programs that a kernel has to refuse, and in which word of the refusal one sees that it is for this reason. */
const REFUSED: Readonly<Record<string, Partial<Record<Line, RegExp>>>> = {
  // Task storage came with 5.12; the receiver reads taskstats instead.
  pass_over_tasks: { '5.10': /map 'tasks': failed to create/ },
  on_free: { '5.10': /map 'tasks': failed to create/ },
  // Exchanges came with 5.12, passes over descriptors with 5.11: on_state_alone runs there, and sock_diag lists.
  on_state_btf: { '5.10': /BPF_STX uses reserved fields/ },
  on_freed_btf: { '5.10': /BPF_STX uses reserved fields/ },
  pass_over_files: { '5.10': /BPF_STX uses reserved fields/ },
}

type Program = { readonly object: string; readonly program: string; readonly refusal?: string }

export const programs = defineCheck<readonly Program[]>({
  name: 'BPF programs',

  inside: () =>
    globSync(join(root, 'bpf/*.bpf.c')).flatMap((source) => {
      const object = basename(source, '.bpf.c')
      return namesIn(readFileSync(source, 'utf8')).map((program) => ({ object, program, ...tryAlone(object, program) }))
    }),

  judge: {
    'each loads and attaches, but for those that this kernel cannot have': (tried, { line }) => {
      assert.ok(tried.length >= 4)
      for (const { object, program, refusal } of tried) {
        const expected = REFUSED[program]?.[line]
        if (expected) assert.match(refusal ?? 'it was taken', expected, `${object}: ${program}`)
        else assert.equal(refusal, undefined, `${object}: ${program} was refused by Linux ${line}:\n${refusal}`)
      }
    },
  },
})

const namesIn = (source: string) =>
  [...source.matchAll(/^SEC\("[^."][^"]*"\)\s+int (?:BPF_PROG\()?(\w+)/gm)].map(([, name = '']) => name)

function tryAlone(object: string, program: string): { refusal?: string } {
  try {
    const loaded = loadBpf(readFileSync(bpfPath(object)), { programs: [program] })
    try {
      loaded.attach(program)
    } finally {
      loaded.close()
    }
    return {}
  } catch (error) {
    const { message, log } = error as BpfError
    return { refusal: `${message}\n${log ?? ''}` }
  }
}
