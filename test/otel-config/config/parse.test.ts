// What people get wrong in the YAML itself, and the exact words they get for it.
import { eachIsSaid, FINE } from './mistakes.ts'

eachIsSaid([
  ['a tab', 'receivers:\n\tcgroup:', '2:1 tabs cannot indent YAML: use spaces'],
  ['a key twice', 'receivers:\n  cgroup:\n  cgroup:', '3:3 this key is here twice: keep one of them'],
  ['a quote that does not end', 'receivers: "cgroup', '1:19 is not valid YAML: missing closing "quote'],
  [
    'a bracket that does not close',
    'a: [1, 2',
    '1:9 is not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  [
    'an indentation that fits nothing',
    'a:\n    b: 1\n  c: 2',
    '3:1 is not valid YAML: it begins at another column than the keys beside it: indent it as much as they are',
  ],
  [
    'two mistakes of YAML',
    'a: "x" y\nb: @z',
    '1:8 is not valid YAML: unexpected scalar at node end',
    '2:4 is not valid YAML: plain value cannot start with reserved character @',
  ],
  ['an alias without anchor', 'a: *b', '1:4 *b has no anchor before it'],
  ['an unknown tag', 'a: !secret x', '1:4 is not valid YAML: unresolved tag: !secret'],
  ['a map as a key', '{a: 1}: 2', '1:1 a key has to be a plain word'],
  [
    'two documents',
    `${FINE}---\n${FINE}`,
    '9:1 holds more than one document (---): keep one, or give each as a --config of its own',
  ],
  ['an alias of itself', 'a: &a\n  b: *a', '2:3 is nested more than 100 levels deep'],
  ['a thousand brackets', '['.repeat(1000), '1:1 is nested more than 100 levels deep'],
  ['a merge key with a word', 'a:\n  <<: x', '2:7 << takes a map, or a list of maps'],
])
