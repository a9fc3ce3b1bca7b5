// The program that runs in a guest: all checks one after another, each told as a line of JSON.
import { checks } from './checks/index.ts'

const PATIENCE_MS = 60_000

const tooLong = () =>
  new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`it took longer than ${PATIENCE_MS} ms`)), PATIENCE_MS).unref()
  })

for (const { name, inside } of checks) {
  const startMs = performance.now()
  let told: object
  try {
    told = { facts: await Promise.race([inside(), tooLong()]) }
  } catch (error) {
    told = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
  process.stdout.write(`${JSON.stringify({ name, ms: Math.round(performance.now() - startMs), ...told })}\n`)
}
process.stdout.write('"end"\n')
process.exit() // whatever a check that went wrong has left running
