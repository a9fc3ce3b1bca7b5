// The program that runs in a guest: all checks one after another, each told as a line of JSON.
import { checks } from './checks/index.ts'

for (const { name, inside } of checks) {
  const startMs = performance.now()
  let told: object
  try {
    told = { facts: await inside() }
  } catch (error) {
    told = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
  process.stdout.write(`${JSON.stringify({ name, ms: Math.round(performance.now() - startMs), ...told })}\n`)
}
process.stdout.write('"end"\n')
