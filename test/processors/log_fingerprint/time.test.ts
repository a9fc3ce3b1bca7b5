// Times as programs write them, against Date's own reading of the same moment.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { timeMs } from '../../../processors/log_fingerprint/time.ts'

const read = (text: string) => timeMs(Buffer.from(text), 0, Buffer.byteLength(text))
/** On this machine's wall. */
const local = (text: string) => new Date(text).getTime()

const SAME = local('2024-05-02T11:20:31')
const CASES: readonly (readonly [string, number])[] = [
  ['2024-05-02 11:20:31', SAME],
  ['2024-05-02 11:20:31,101', SAME],
  ['2024-05-02T11:20:31.123456', SAME],
  ['2024/05/02 11:20:31', SAME],
  ['2024.05.02 11:20:31.123456', SAME],
  ['02.05.2024 11:20:31.123', SAME],
  ['05/02/2024 11:20:31.101', SAME],
  ['23/05/2024 11:20:31', local('2024-05-23T11:20:31')],
  ['20240502-11:20:31:123', SAME],
  ['24/05/02 11:20:31', SAME],
  ['May 2, 2024 11:20:31', SAME],
  ['02 May 2024 11:20:31.105', SAME],
  ['Thu May  2 11:20:31 2024', SAME],
  ['2024-05-02T11:20:31.5Z', Date.parse('2024-05-02T11:20:31Z')],
  ['2024-05-02T11:20:31.123+02:00', Date.parse('2024-05-02T11:20:31+02:00')],
  ['2024-05-02 11:20:31 -0330', Date.parse('2024-05-02T11:20:31-03:30')],
  ['02/May/2024:11:20:31 +0000', Date.parse('2024-05-02T11:20:31Z')],
  ['1714648831', 1_714_648_831_000],
  ['1714648831.123', 1_714_648_831_000],
  ['1714648831123', 1_714_648_831_123],
]

test('times are understood in the layouts in use, to the second', () => {
  for (const [text, expected] of CASES) assert.equal(read(text), expected, text)
  // What was read last shortens the next reading, and changes nothing.
  for (const [text, expected] of [...CASES, ...CASES.toReversed(), ...CASES.flatMap((one) => [one, one])]) {
    assert.equal(read(text), expected, text)
  }
})

test('parts of a second do not matter, seconds do', () => {
  assert.equal(read('2024-05-02 11:20:31,999'), SAME)
  assert.equal(read('2024-05-02 11:20:31,000'), SAME)
  assert.equal(read('2024-05-02 11:20:32,000'), SAME + 1000)
  assert.equal(read('2024-05-03 11:20:32,000'), SAME + 86_401_000)
})

test('without a year it is the one that is nearest before now', () => {
  const yesterday = new Date(Date.now() - 86_400_000)
  const month = yesterday.toLocaleString('en', { month: 'short' })
  const day = String(yesterday.getDate()).padStart(2)
  assert.equal(read(`${month} ${day} 11:20:31`), new Date(yesterday).setHours(11, 20, 31, 0))
})

test('what is no time is none', () => {
  for (const text of ['', 'abc', '11', '99/99/9999 11:20:31', '10.0.0.1', '2:3'])
    assert.equal(read(text), Number.NaN, text)
})
