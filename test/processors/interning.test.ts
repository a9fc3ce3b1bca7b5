import assert from 'node:assert/strict'
import { test } from 'node:test'
import { internAttributes, internSubjects } from '../../processors/interning.ts'
import { cgroup } from './given.ts'

test('a subject described anew is the same subject, and its old description is let go', () => {
  const subjects = internSubjects()
  const [before, after] = [cgroup(1), cgroup(1)]
  const known = subjects.add(before)
  assert.equal(subjects.find(after), known)
  assert.equal(known.subject, after)
  subjects.remove(known)
  assert.equal(subjects.find(before), undefined)
  assert.equal(subjects.find(after), undefined)
})

test('equal attributes are one set, whichever object says them', () => {
  const attributes = internAttributes()
  const set = attributes.take(Object.freeze({ a: '1', b: '2' }))
  for (let round = 0; round < 20; round++) assert.equal(attributes.take(Object.freeze({ b: '2', a: '1' })), set)
  assert.equal(attributes.take({ a: '1', b: '2' }), set)
  assert.notEqual(attributes.take({ a: '1' }), set)
  assert.equal(set.uses, 22)
  assert.ok(set.aliases.length <= 8, 'a new object for each point is not hoarded')
})

test('a set that nobody uses any more is let go', () => {
  const attributes = internAttributes()
  const object = Object.freeze({ a: '1' })
  const set = attributes.take(object)
  attributes.take(object)
  attributes.giveBack(set)
  assert.equal(attributes.find(object), set)
  attributes.giveBack(set)
  assert.equal(attributes.find(object), undefined)
  assert.equal(attributes.find({ a: '1' }), undefined)
})
