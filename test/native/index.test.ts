// Wrong arguments are told apart before the kernel sees them; what needs no privileges works without.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type BpfOptions, loadBpf, openFiles, openTaskstats, readFiles } from '../../native/index.ts'
import { requires } from '../requires.ts'

const folder = mkdtempSync(join(tmpdir(), 'leadline-native-'))
after(() => rmSync(folder, { recursive: true }))

/** What a caller without types could pass. */
const wrong = <T>(value: unknown) => value as T

const mistakes: [title: string, options: unknown, message: RegExp][] = [
  ['no options', undefined, /options\.programs must name at least one BPF program/],
  ['no program', { programs: [] }, /options\.programs must name at least one BPF program/],
  ['a program that is no string', { programs: [1] }, /options\.programs must hold strings/],
  [
    'a constant that is no number',
    { programs: ['a'], constants: { limit: '1' } },
    /constant limit must be a whole number/,
  ],
  ['a broken constant', { programs: ['a'], constants: { limit: 1.5 } }, /constant limit must be a whole number/],
  [
    'a constant of 65 bits',
    { programs: ['a'], constants: { limit: 2n ** 64n } },
    /constant limit must be .* at most 64 bits/,
  ],
  ['constants that are no object', { programs: ['a'], constants: 1 }, /constants must be an object/],
  [
    'a map of no entries',
    { programs: ['a'], mapEntries: { seen: 0 } },
    /mapEntries\.seen must be a whole number from 1/,
  ],
]

for (const [title, options, message] of mistakes) {
  test(`loadBpf refuses ${title}`, requires('addon'), () => {
    assert.throws(() => loadBpf(Buffer.alloc(0), wrong<BpfOptions>(options)), { name: 'TypeError', message })
  })
}

test('loadBpf refuses what is no Uint8Array', requires('addon'), () => {
  const options = { programs: ['a'] }
  for (const object of [undefined, 'a', [1], new Uint32Array(1), new ArrayBuffer(8)]) {
    assert.throws(() => loadBpf(wrong<Uint8Array>(object), options), { message: 'object must be a Uint8Array' })
  }
})

test(
  'bytes that are no BPF object are an error with the reason of libbpf, and stderr stays silent',
  requires('addon'),
  () => {
    const script = `
    import { loadBpf } from './native/index.ts'
    for (const bytes of [Buffer.alloc(0), Buffer.from('rubbish'), Buffer.from('\\x7fELF'), Buffer.alloc(1 << 16, 0xff)]) {
      try { loadBpf(bytes, { programs: ['a'] }) } catch (error) { console.log(error.code, error.syscall, error.log) }
    }`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.equal(stderr, '')
    assert.equal(stdout.match(/^E\w+ bpf_object__open_mem/gm)?.length, 4, stdout)
    assert.match(stdout, /^ENOEXEC .*not a proper ELF object$/m)
  },
)

test('taskstats takes only a Uint32Array, a list of CPUs and a size', requires('addon'), () => {
  const taskstats = openTaskstats()
  try {
    assert.throws(() => taskstats.ask(wrong([1])), { message: 'tgids must be a Uint32Array' })
    assert.throws(() => taskstats.listen(wrong(1), 1), { message: 'cpus must be a string' })
    assert.throws(() => taskstats.listen('', 1), { message: /cpus must be a list of CPUs/ })
    assert.throws(() => taskstats.listen('0,'.repeat(40_000), 1), { message: /cpus must be a list of CPUs/ })
    for (const size of [0, -1, 1.5, 2 ** 31, Number.NaN, '8']) {
      assert.throws(() => taskstats.listen('0', wrong(size)), { message: /bufferBytes must be a whole number/ })
    }
    assert.throws(() => taskstats.drain(), { message: /call listen\(\) first/ })
    assert.equal(taskstats.ask(new Uint32Array()).length, 0)
  } finally {
    taskstats.close()
  }
  taskstats.close()
  assert.throws(() => taskstats.ask(new Uint32Array([1])), { message: 'this taskstats connection is closed' })
})

test('a method called on a stranger is refused', requires('addon'), () => {
  const taskstats = openTaskstats()
  assert.throws(() => taskstats.ask.call(wrong({}), new Uint32Array()), TypeError)
  taskstats.close()
})

test('files come end to end, and one that cannot be read says why and has no bytes', requires('addon'), () => {
  const text = join(folder, 'text')
  const empty = join(folder, 'empty')
  const large = join(folder, 'large')
  const tooLarge = join(folder, 'too-large')
  const fifo = join(folder, 'fifo')
  writeFileSync(text, 'häuser\n')
  writeFileSync(empty, '')
  writeFileSync(large, Buffer.alloc(300_000, 'large '))
  writeFileSync(tooLarge, Buffer.alloc(16 * 2 ** 20 + 1))
  assert.equal(spawnSync('mkfifo', [fifo]).status, 0)

  const paths = [text, join(folder, 'absent'), empty, folder, large, tooLarge, fifo, `${text}\0`, text]
  const { data, ends, errors } = readFiles(paths)
  const { ENOENT, EISDIR, EFBIG, EINVAL, ESPIPE } = constants.errno
  assert.deepEqual([...errors], [0, -ENOENT, 0, -EISDIR, 0, -EFBIG, -ESPIPE, -EINVAL, 0])
  const files = paths.map((_, i) => data.subarray(ends[i - 1] ?? 0, ends[i]))
  assert.equal(files[0]?.toString(), 'häuser\n')
  assert.deepEqual(files[4], readFileSync(large))
  assert.equal(files[8]?.toString(), 'häuser\n')
  for (const i of [1, 2, 3, 5, 6, 7]) assert.equal(files[i]?.length, 0)
  assert.equal(data.length, 300_000 + 2 * 8)
})

test('readFiles takes only an array of strings', requires('addon'), () => {
  assert.throws(() => readFiles(wrong('a')), { message: 'paths must be an array of strings' })
  assert.throws(() => readFiles(wrong(['a', 1])), { message: 'paths must be an array of strings' })
  assert.deepEqual(readFiles([]).data.length, 0)
})

test('open files are read from their beginning each time, until they are closed', requires('addon'), () => {
  const growing = join(folder, 'growing')
  writeFileSync(growing, 'one')
  const files = openFiles([growing, join(folder, 'absent'), folder])
  const { ENOENT, EISDIR } = constants.errno
  for (const text of ['one', 'two!', '', 'x'.repeat(100_000)]) {
    writeFileSync(growing, text)
    const { data, ends, errors } = files.read()
    assert.equal(data.toString(), text)
    assert.deepEqual([...ends], [text.length, text.length, text.length])
    assert.deepEqual([...errors], [0, -ENOENT, -EISDIR])
  }
  files.close()
  files.close()
  assert.throws(() => files.read(), { message: 'these files are closed' })
  assert.throws(() => openFiles(wrong('a')), { message: 'paths must be an array of strings' })
})
