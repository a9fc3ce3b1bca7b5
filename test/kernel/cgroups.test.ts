// The tree of control groups on the real file systems, the v2 tree and a v1 hierarchy: made, nested, removed, made again
// under the same name, many at once, gone after a millisecond.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFile, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { openBirths } from '../../receivers/host/births.ts'
import { type CgroupTree, watchCgroups } from '../../receivers/host/cgroups.ts'
import type { Cgroup, CgroupLayout } from '../../receivers/host/host.ts'
import { readLayout } from '../../receivers/host/layout.ts'
import { atEnd } from '../ending.ts'
import { listeningLog } from '../receivers/quiet.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

const needs = requires('root', 'addon', 'bpf')
const layout = readLayout('/sys/fs/cgroup')
const v1Root = layout.v1.get('pids')
const trees: Readonly<Record<string, CgroupLayout>> = {
  'the v2 tree': layout,
  ...(v1Root && {
    'a v1 hierarchy': { mode: 'v1', root: v1Root, v1: layout.v1, canonicalController: 'pids' } as const,
  }),
}
let count = 0

/** The tree, and a control group of our own in it. What is made there goes with the test. */
function open(t: TestContext, { root }: CgroupLayout, rememberMs = 60_000) {
  const own = `/leadline-tree-${process.pid}-${++count}`
  const made: string[] = []
  const make = (path: string) => {
    mkdirSync(root + path)
    made.push(path)
    return statSync(root + path).ino
  }
  const remove = (path: string) => {
    rmdirSync(root + path)
    made.splice(made.indexOf(path), 1)
  }
  make(own)
  atEnd(t, () => {
    for (const path of made.toReversed()) rmdirSync(root + path)
  })
  const log = listeningLog()
  const tree = watchCgroups({ root, rememberMs, bootMs: 0, log })
  atEnd(t, () => tree.stop())
  return { tree, own, make, remove, log, root }
}

/** The tree has exactly what `find` finds, with the same inodes. Others make and remove theirs meanwhile: ours count. */
function assertSame(tree: CgroupTree, root: string, own: string): void {
  const found = execFileSync('find', [root + own, '-type', 'd', '-printf', '%p %i\n'], { encoding: 'utf8' })
  const ours = [...tree.living()].filter(({ path }) => path === own || path.startsWith(`${own}/`))
  const told = ours.map(({ path, id }) => `${root}${path} ${id}`)
  assert.deepEqual(told.sort(), found.trimEnd().split('\n').sort())
}

for (const [where, here] of Object.entries(trees)) {
  test(`${where}: what is made, nested and removed is known by id and path`, needs, async (t) => {
    const { tree, own, make, remove, root } = open(t, here)
    const changes: string[] = []
    tree.onChange(({ path, endedMs }) => {
      if (path.startsWith(`${own}/`)) changes.push(`${endedMs === undefined ? '+' : '-'}${path.slice(own.length)}`)
    })
    const a = make(`${own}/a`)
    make(`${own}/a/b`)
    make(`${own}/a/b/c`)
    await tree.refresh()
    assertSame(tree, root, own)
    const cgroup = tree.byId(a)
    assert.equal(cgroup?.path, `${own}/a`)
    assert.equal(tree.byPath(`${own}/a/b/c`)?.path, `${own}/a/b/c`)
    assert.equal(tree.parent(tree.byPath(`${own}/a/b`) as Cgroup), cgroup)
    assert.ok(Math.abs((cgroup?.bornMs ?? 0) - Date.now()) < 10_000)

    for (const path of ['/a/b/c', '/a/b', '/a']) remove(own + path)
    await tree.refresh()
    assertSame(tree, root, own)
    assert.equal(tree.byPath(`${own}/a`), undefined)
    assert.ok(tree.byId(a)?.endedMs !== undefined, 'its last numbers come later')
    assert.equal(tree.find(`${own}/a (deleted)`), cgroup)
    assert.deepEqual(changes.slice(0, 3), ['+/a', '+/a/b', '+/a/b/c'])
    assert.deepEqual(changes.slice(3).sort(), ['-/a', '-/a/b', '-/a/b/c'])
  })

  test(`${where}: the same path again is another control group, whether or not we saw it go`, needs, async (t) => {
    const { tree, own, make, remove, root } = open(t, here)
    const ids = []
    for (let i = 0; i < 20; i++) {
      ids.push(make(`${own}/web`))
      make(`${own}/web/inner`)
      if (i % 2 === 0) await tree.refresh()
      remove(`${own}/web/inner`)
      remove(`${own}/web`)
    }
    ids.push(make(`${own}/web`))
    await tree.refresh()
    assert.equal(new Set(ids).size, ids.length, 'the kernel gives an id once')
    assert.equal(tree.byPath(`${own}/web`)?.id, ids.at(-1))
    const livingOnes = ids.filter((id) => tree.byId(id) !== undefined && tree.byId(id)?.endedMs === undefined)
    assert.deepEqual(livingOnes, ids.slice(-1))
    assertSame(tree, root, own)
    // It is watched under its new self.
    make(`${own}/web/inner`)
    await tree.refresh()
    assertSame(tree, root, own)
  })

  test(`${where}: a thousand at once, then gone, are all seen and then forgotten`, needs, async (t) => {
    const { tree, own, make, remove, root } = open(t, here, 100)
    const paths = Array.from({ length: 1000 }, (_, i) => `${own}/${i % 10}${i < 10 ? '' : `/${i}`}`)
    const ids = paths.map(make)
    await tree.refresh()
    assertSame(tree, root, own)
    for (const id of ids) assert.ok(tree.byId(id))
    for (const path of paths.toReversed()) remove(path)
    await tree.refresh()
    assertSame(tree, root, own)
    await new Promise((resolve) => setTimeout(resolve, 150))
    await tree.refresh()
    assert.deepEqual(
      ids.filter((id) => tree.byId(id) !== undefined),
      [],
    )
  })

  test(
    `${where}: one that lived for a millisecond is known by id and path, from the kernel itself`,
    needs,
    async (t) => {
      const { tree, own, make, remove, log } = open(t, here)
      const births = await openBirths(here, tree, log)
      assert.ok(births, JSON.stringify(log.said))
      atEnd(t, () => births.stop())
      const told: Cgroup[] = []
      tree.onChange((cgroup) => {
        if (cgroup.path.startsWith(`${own}/`)) told.push(cgroup)
      })
      const before = Date.now()
      // Made, nested and removed within one turn of the event loop: nothing else of ours looks in between.
      const ids = Array.from({ length: 50 }, (_, i) => {
        const pair = [make(`${own}/short${i}`), make(`${own}/short${i}/inner`)]
        remove(`${own}/short${i}/inner`)
        remove(`${own}/short${i}`)
        return pair
      })
      births.drain()
      for (const [i, [outer = 0, inner = 0]] of ids.entries()) {
        const [top, below] = [tree.byId(outer), tree.byId(inner)]
        assert.deepEqual([top?.path, below?.path], [`${own}/short${i}`, `${own}/short${i}/inner`])
        assert.equal(tree.parent(below as Cgroup), top)
        for (const cgroup of [top, below]) {
          assert.ok(cgroup?.endedMs !== undefined)
          assert.ok(cgroup.bornMs > before - 100 && cgroup.bornMs < Date.now() + 100, `${cgroup.bornMs - before} ms`)
        }
      }
      assert.equal(told.length, 100)
      assert.equal(births.lost, 0)
    },
  )

  test(`${where}: a process that moves in is told, with the one that it was moved into`, needs, async (t) => {
    const { tree, own, make, root } = open(t, here)
    const told: string[] = []
    tree.onMembers(({ path }, pids) => told.push(...pids.map((pid) => `${path} ${pid}`)))
    make(`${own}/web`)
    await tree.refresh()
    const child = spawn('sleep', ['60'])
    atEnd(t, () => new Promise((resolve) => child.once('close', resolve) && child.kill('SIGKILL')))
    writeFileSync(`${root}${own}/web/cgroup.procs`, String(child.pid))
    await until('it is told', async () => {
      await tree.refresh()
      return told.includes(`${own}/web ${child.pid}`)
    })
  })
}

test('what was made before a refresh is known after it, wherever the event loop stands', needs, async (t) => {
  const { tree, own, make, root } = open(t, layout)
  // In the poll phase what the watches tell was fetched already; in the others it was not.
  const phases = [
    () => new Promise((resolve) => readFile(import.meta.filename, resolve)),
    () => new Promise((resolve) => setImmediate(resolve)),
    () => new Promise((resolve) => setTimeout(resolve, 1)),
    () => Promise.resolve(),
  ]
  for (const [i, phase] of [...phases, ...phases].entries()) {
    await phase()
    make(`${own}/${i}`)
    await tree.refresh()
    assertSame(tree, root, own)
  }
})

test('what the watches missed is found by the look at all directories', needs, async (t) => {
  const { tree, own, make, remove, root } = open(t, layout)
  make(`${own}/before`)
  await tree.refresh()
  tree.stop() // from here on no watch tells anything
  make(`${own}/missed`)
  make(`${own}/missed/inner`)
  remove(`${own}/before`)
  await tree.refresh()
  assert.equal(tree.byPath(`${own}/missed`), undefined)
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 31_000 })
  await tree.refresh()
  assertSame(tree, root, own)
  assert.ok(tree.missed >= 1)
})

test('a path that the watches have not told of yet is found where it is asked for', needs, async (t) => {
  const { tree, own, make } = open(t, layout)
  const id = make(`${own}/now`)
  make(`${own}/now/inner`)
  assert.equal(tree.find(`${own}/now/inner`)?.path, `${own}/now/inner`)
  assert.equal(tree.byId(id)?.path, `${own}/now`)
  for (const nowhere of ['', 'relative', '/../..', `${own}/nowhere/at/all`, `${own}/cgroup.procs`, '/ (deleted)']) {
    assert.equal(tree.find(nowhere), undefined, nowhere)
  }
})
