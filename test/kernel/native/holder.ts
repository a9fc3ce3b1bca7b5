// Run by remains.test.ts as a worker or a process: loads, tells what it holds, and waits to be ended.
import { parentPort, workerData } from 'node:worker_threads'
import { openTaskstats } from '../../../native/index.ts'
import { heldByUs, holdAll } from './loader.ts'

const others = heldByUs() // of the same process, when we are a worker
const object = parentPort ? (workerData as Uint8Array) : Buffer.from(process.env.OBJECT ?? '', 'base64')
const loaded = holdAll(object)
const taskstats = openTaskstats()
taskstats.listen('0', 4096)

const held = [...heldByUs()].filter((id) => !others.has(id))
if (parentPort) parentPort.postMessage(held)
else process.send?.(held)
setInterval(() => [loaded, taskstats].length, 60_000)
