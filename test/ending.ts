// What a test started ends with it, last first, and one failure does not spare the rest. `t.after` alone does neither.
import type { TestContext } from 'node:test'

type Action = () => unknown

const pending = new WeakMap<TestContext, Action[]>()

/** Runs when the test has ended, however it ended. What it throws fails the test. */
export function atEnd(t: TestContext, action: Action): void {
  const before = pending.get(t)
  if (before !== undefined) {
    before.push(action)
    return
  }
  const actions = [action]
  pending.set(t, actions)
  t.after(async () => {
    const errors: unknown[] = []
    for (const one of actions.toReversed()) {
      try {
        await one()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length === 1) throw errors[0]
    if (errors.length > 1) throw new AggregateError(errors, errors.map(String).join('\n'))
  })
}
