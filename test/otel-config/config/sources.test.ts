// What people get wrong in values that come from elsewhere (variables, files, the command line), and what they are told.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complaintText, placeText } from '../../../otel-config/config/complaints.ts'
import { examine } from '../../../otel-config/config/load.ts'
import { components } from './given.ts'
import { eachIsSaid, FINE, icmp } from './mistakes.ts'

eachIsSaid([
  [
    'a variable of the wrong type',
    icmp('targets_per_container: ${env:WORD}'),
    '4:5 receivers::icmp_latency::targets_per_container: expected a number, got "ten" (the value of ${env:WORD})',
  ],
  [
    'a variable with a bad name',
    icmp('mode: ${env:1A}'),
    '4:5 receivers::icmp_latency::mode: environment variable "1A" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$',
  ],
  [
    'a default without env',
    icmp('mode: ${MODE:-raw}'),
    '4:5 receivers::icmp_latency::mode: scheme "MODE" is not supported: write ${env:MODE:-raw}',
  ],
  [
    'a scheme that is not there',
    icmp('mode: ${vault:x}'),
    '4:5 receivers::icmp_latency::mode: scheme "vault" is not supported for uri "vault:x"',
  ],
  [
    'a file that is not there',
    icmp('mode: ${file:/nowhere/x}'),
    '4:5 receivers::icmp_latency::mode: unable to read the file file:/nowhere/x: no such file or directory: check the path',
  ],
  ['a variable of itself', icmp('mode: ${LOOP}'), '4:5 receivers::icmp_latency::mode: too many recursive expansions'],
  [
    'a variable that is not set',
    icmp('mode: ${env:NOT_SET}'),
    '4:5 receivers::icmp_latency::mode: environment variable "NOT_SET" is not set: the value is empty',
  ],
])

test('a mistake on the command line is said with what was typed', () => {
  const wanted = { configs: ['env:FILE'], sets: ['receivers.cgroup.timeout=soon'], environment: { FILE: FINE } }
  const [complaint] = examine(wanted, components).complaints
  assert.ok(complaint)
  assert.equal(placeText(complaint.place), '--set receivers.cgroup.timeout=soon')
  assert.equal(complaintText(complaint), 'receivers::cgroup::timeout: expected a duration such as 10s, got "soon"')
})

test('a device that never ends is not read to its end', () => {
  const [complaint] = examine({ configs: ['/dev/zero'], sets: [], environment: {} }, components).complaints
  assert.match(complaint?.message ?? '', /larger than 4 MiB/)
})
