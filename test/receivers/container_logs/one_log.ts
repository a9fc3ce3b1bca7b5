// One log, written by a test and followed as the receiver follows it.
import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Saved } from '../../../receivers/container_logs/checkpoints.ts'
import { type Follower, follow } from '../../../receivers/container_logs/follow.ts'
import { text } from '../../../receivers/container_logs/formats/text.ts'
import type { Start } from '../../../receivers/container_logs/start.ts'

/** Follows a log of numbered lines in a folder of its own; `read` reads what there is of it. */
export function setUp(
  t: TestContext,
  { format = text, start = { at: 'time', sinceMs: 0, whole: true } as Start } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-follow-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'app.log')
  const lines: string[] = []
  const told: string[] = []
  const limits = { maxLineBytes: 1 << 20, maxLagBytes: 1 << 30, flushMs: 200 }
  let saved: Saved | undefined
  let follower: Follower | undefined
  let n = 0
  const open = () =>
    follow({
      path,
      format: format(limits),
      chain: { scratchDirectory: folder, mostUnpackedBytes: 1 << 24, failed: ({ message }) => void told.push(message) },
      limits,
      start,
      saved,
      deliver({ stdout }) {
        if (stdout.count === 0) return
        const told = stdout.bytes.toString('latin1', 0, stdout.length)
        assert.ok(told.endsWith('\n'))
        lines.push(...told.slice(0, -1).split('\n'))
      },
      save: (now) => {
        saved = now
      },
      failed: (error) => assert.fail(error),
    })
  return {
    path,
    limits,
    lines,
    told,
    /** Appends lines `1`, `2` … */
    write(count: number) {
      let out = ''
      for (let i = 0; i < count; i++) out += `line ${++n}\n`
      appendFileSync(path, out)
    },
    /** Looks for a while, and reads what is there. */
    async read(forMs = 60) {
      follower ??= open()
      // Some turns of the event loop at least, because what is slow here is the machine.
      for (let turns = 0, endMs = Date.now() + forMs; turns < 25 || Date.now() < endMs; turns++) {
        await sleep(5)
        if (follower.poll(Date.now())) while (follower.readShare());
      }
      return follower
    },
    /** Looks once, and reads nothing. */
    async look() {
      follower ??= open()
      follower.poll(Date.now())
      return follower
    },
    /** Lets the agent end; the next `read` is another one's. */
    end() {
      follower?.close()
      follower = undefined
    },
    check() {
      assert.deepEqual(
        lines,
        Array.from({ length: n }, (_, i) => `line ${i + 1}`),
      )
      assert.deepEqual(told, [])
    },
  }
}
