// What people get wrong in the settings of a component, and the exact words they get for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroup, eachIsSaid, FINE, icmp, otlp, said } from './mistakes.ts'

eachIsSaid([
  [
    'an unknown key',
    icmp('targets_per_contaner: 3'),
    '4:5 receivers::icmp_latency: has invalid keys: targets_per_contaner (did you mean targets_per_container?)',
  ],
  [
    'an unknown key that is meant for every receiver',
    cgroup('colection_interval: 3s'),
    '3:5 receivers::cgroup: has invalid keys: colection_interval (did you mean collection_interval?)',
  ],
  [
    'a key like nothing else',
    cgroup('zzz: 1'),
    '3:5 receivers::cgroup: has invalid keys: zzz (there is: collection_interval, initial_delay, timeout, metrics)',
  ],
  [
    'a duration in words',
    icmp('collection_interval: 15 seconds'),
    '4:5 receivers::icmp_latency::collection_interval: expected a duration such as 10s, got "15 seconds"',
  ],
  [
    'a duration without unit',
    icmp('interval: 10'),
    '4:5 receivers::icmp_latency::interval: expected a duration such as 10s, got 10',
  ],
  ['a bare 0 is a duration', icmp('timeout: 0')],
  [
    'no interval',
    cgroup('collection_interval: 0s'),
    '3:5 receivers::cgroup: "collection_interval": requires positive value',
  ],
  [
    'an interval in the past',
    cgroup('collection_interval: -1m'),
    '3:5 receivers::cgroup: "collection_interval": requires positive value',
  ],
  [
    'an interval too short',
    cgroup('collection_interval: 1ms'),
    '3:5 receivers::cgroup: "collection_interval": requires at least 10ms',
  ],
  ['a timeout in the past', cgroup('timeout: -1s'), '3:5 receivers::cgroup: "timeout": requires positive value'],
  [
    'a delay in the past',
    cgroup('initial_delay: -1s'),
    '3:5 receivers::cgroup: "initial_delay": requires positive value or 0',
  ],
  [
    'a number in quotes',
    icmp('targets_per_container: "10"'),
    '4:5 receivers::icmp_latency::targets_per_container: expected a number, got "10" (remove the quotes)',
  ],
  ['a number in words', icmp('ratio: half'), '4:5 receivers::icmp_latency::ratio: expected a number, got "half"'],
  [
    'a number too small',
    icmp('targets_per_container: 0'),
    '4:5 receivers::icmp_latency::targets_per_container: expected at least 1, got 0',
  ],
  [
    'a number too large',
    icmp('targets_per_container: 1001'),
    '4:5 receivers::icmp_latency::targets_per_container: expected at most 1000, got 1001',
  ],
  [
    'a fraction',
    icmp('targets_per_container: 1.5'),
    '4:5 receivers::icmp_latency::targets_per_container: expected a whole number, got 1.5',
  ],
  ['yes', icmp('ipv6: yes'), '4:5 receivers::icmp_latency::ipv6: expected true or false, got "yes"'],
  [
    'true in quotes',
    icmp('ipv6: "true"'),
    '4:5 receivers::icmp_latency::ipv6: expected true or false, got "true" (remove the quotes)',
  ],
  [
    'a wrong choice',
    icmp('mode: Raw'),
    '4:5 receivers::icmp_latency::mode: expected one of auto, raw, dgram, got "Raw" (did you mean raw?)',
  ],
  [
    'neither of two types',
    icmp('limit: [1]'),
    '4:5 receivers::icmp_latency::limit: expected auto or a number, got a list',
  ],
  ['a list for a map', cgroup('- a'), '2:3 receivers::cgroup: expected a map, got a list'],
  ['a word for a map', FINE.replace('cgroup:\n', 'cgroup: on\n'), '2:3 receivers::cgroup: expected a map, got "on"'],
  ['a map for a list', icmp('targets: {a: 1}'), '4:5 receivers::icmp_latency::targets: expected a list, got a map'],
  [
    'a wrong item',
    icmp('targets: [a, {address: b}]'),
    '4:15 receivers::icmp_latency::targets::0: expected a map, got "a"',
  ],
  [
    'a wrong key in an item',
    icmp('targets: [{adress: b}]'),
    '4:15 receivers::icmp_latency::targets::0::address: is required: expected a string',
    '4:16 receivers::icmp_latency::targets::0: has invalid keys: adress (did you mean address?)',
  ],
  ['a number for a text', otlp('endpoint: 4317'), '6:5 exporters::otlp_grpc::endpoint: expected a string, got 4317'],
  [
    'a required key left out',
    otlp('headers: {}'),
    '5:3 exporters::otlp_grpc::endpoint: is required: expected a string',
  ],
  [
    'a required key without value',
    otlp('endpoint:'),
    '6:5 exporters::otlp_grpc::endpoint: is required: expected a string',
  ],
  [
    'a secret of the wrong type',
    otlp('{endpoint: x, headers: {token: 1234}}'),
    '6:29 exporters::otlp_grpc::headers::token: expected a string',
  ],
  [
    'an unknown key deep inside',
    otlp('{endpoint: x, tls: {insecur: true}}'),
    '6:25 exporters::otlp_grpc::tls: has invalid keys: insecur (did you mean insecure?)',
  ],
  [
    'an unknown metric',
    cgroup('metrics: {container.cpu.usag: {enabled: false}}'),
    '3:15 receivers::cgroup::metrics: has invalid keys: container.cpu.usag (did you mean container.cpu.usage?)',
  ],
  [
    'a metric without enabled',
    cgroup('metrics: {container.cpu.usage: false}'),
    '3:15 receivers::cgroup::metrics::container.cpu.usage: expected a map, got false',
  ],
])

test('a duration that no timer can wait is refused', () => {
  assert.deepEqual(said(cgroup('timeout: 1000h')), [
    '3:5 receivers::cgroup::timeout: expected a duration of at most 596h, got "1000h"',
  ])
})
