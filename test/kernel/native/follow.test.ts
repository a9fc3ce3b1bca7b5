// A thread that follows the kernel: it says when there is something, is one at a time, and hears no signal.
import assert from 'node:assert/strict'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { openNetlink } from '../../../native/index.ts'
import { onNotice } from '../../../native/notices.ts'
import { atEnd } from '../../ending.ts'
import { requires } from '../../requires.ts'
import { until } from '../../until.ts'
import { makeNamespace } from '../network.ts'

const ROUTE = 0
const RTNLGRP_LINK = 1

/** Of each such thread of this process, which signals it blocks (proc_pid_status(5)). */
function blockedBy(name: string): string[] {
  return readdirSync('/proc/self/task').flatMap((task) => {
    const status = readFileSync(`/proc/self/task/${task}/status`, 'latin1')
    return status.startsWith(`Name:\t${name}\n`) ? [/^SigBlk:\t(\w+)$/m.exec(status)?.[1] ?? ''] : []
  })
}

test('what is followed anew is followed by one thread, without signals', requires('root', 'addon'), async (t) => {
  const namespace = makeNamespace(t)
  const fd = openSync(`/run/netns/${namespace.name}`, 'r')
  const netlink = openNetlink({ protocol: ROUTE, groups: [RTNLGRP_LINK], namespace: fd })
  closeSync(fd)
  atEnd(t, () => netlink.close())
  const told = { before: 0, now: 0 }
  atEnd(
    t,
    onNotice(netlink.follow(10), () => told.before++),
  )
  atEnd(
    t,
    onNotice(netlink.follow(10), () => told.now++),
  )
  // All but SIGKILL and SIGSTOP, which nobody can block, and the two that the C library keeps for itself.
  const ALL_BLOCKED = 'fffffffe7ffbfeff'
  await until('it has its name', () => blockedBy('gatherer').length > 0)
  assert.deepEqual(blockedBy('gatherer'), [ALL_BLOCKED])

  namespace.run('ip', 'link', 'set', 'lo', 'down')
  await until('it is told', () => told.now > 0)
  assert.deepEqual(told, { before: 0, now: 1 }, 'once, until it is taken')
  assert.ok(netlink.drain().datagrams.includes('lo\0'))
  namespace.run('ip', 'link', 'set', 'lo', 'up')
  await until('it is told again', () => told.now > 1)
  netlink.close()
  assert.deepEqual(blockedBy('gatherer'), [])
})
