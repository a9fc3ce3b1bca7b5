// The agent's kernel side on kernels that this machine does not run: Debian's 5.10, 6.1 and 6.12, each booted in QEMU.
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { after, describe, test } from 'node:test'
import { requires } from '../requires.ts'
import type { Guest } from './check.ts'
import { checks } from './checks/index.ts'
import { debianKernel, type Kernel, type Line } from './debian.ts'
import { boot, type Image, makeImage } from './guest.ts'

/** `delayacct` on the command line matters from 5.14 on, and `nodelayacct` before (e4042ad49235). */
const guests: readonly (Guest & { readonly parameters: string })[] = [
  { line: '5.10', parameters: '', delayacct: true, cgroups: 'v2' },
  { line: '5.10', parameters: 'nodelayacct', delayacct: false, cgroups: 'v1' },
  { line: '6.1', parameters: '', delayacct: false, cgroups: 'v2' },
  { line: '6.1', parameters: 'delayacct', delayacct: true, cgroups: 'v1' },
  { line: '6.12', parameters: '', delayacct: false, cgroups: 'v2' },
  { line: '6.12', parameters: 'delayacct', delayacct: true, cgroups: 'v2' },
]

type Told = { readonly name: string; readonly facts?: unknown; readonly error?: string }

const needs = requires('root', 'addon', 'qemu')
let prepared: Promise<{ image: Image; kernels: readonly Kernel[] }> | undefined
const prepare = async () => {
  const lines = [...new Set(guests.map(({ line }) => line))]
  const kernels = await Promise.all(lines.map((line: Line) => debianKernel(line)))
  return { kernels, image: await makeImage(kernels) }
}
after(async () => (await prepared)?.image.remove())

describe('kernels', { ...needs, concurrency: Math.min(2, availableParallelism()) }, () => {
  for (const guest of guests) {
    const title = [`Linux ${guest.line}`, guest.parameters, `cgroup ${guest.cgroups}`].filter(Boolean).join(', ')
    test(title, async (t) => {
      prepared ??= prepare()
      const { image, kernels } = await prepared
      const kernel = kernels.find(({ line }) => line === guest.line)
      assert.ok(kernel)
      const told = (await boot(image, { kernel, parameters: `${guest.parameters} cgroups=${guest.cgroups}` })) as Told[]
      for (const { name, judge } of checks) {
        const { facts, error } = told.find((one) => one.name === name) ?? {}
        for (const [sentence, holds] of Object.entries(judge)) {
          await t.test(`${name}: ${sentence}`, () => {
            assert.equal(error, undefined)
            holds(facts, guest)
          })
        }
      }
    })
  }
})
