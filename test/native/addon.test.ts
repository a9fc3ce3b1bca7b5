// What a person reads when the addon is not there, or cannot be used here.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { buildSync } from 'esbuild'
import { requires } from '../requires.ts'

const house = mkdtempSync(join(tmpdir(), 'leadline-addon-'))
after(() => rmSync(house, { recursive: true }))

/** A checkout's `native` without its built addon; `put` may lay another one there. */
function without(name: string, put: (built: string) => void): string {
  const root = join(house, name)
  mkdirSync(join(root, 'bpf'), { recursive: true })
  cpSync('native', join(root, 'native'), { recursive: true, filter: (path) => !path.endsWith('/build') })
  mkdirSync(join(root, 'native/build'))
  symlinkSync(join(process.cwd(), 'package.json'), join(root, 'package.json'))
  put(join(root, 'native/build/leadline.node'))
  return root
}

/** Runs a line with the module in scope and returns what it printed. */
function run(root: string, line: string): string {
  const script = `const native = await import(${JSON.stringify(join(root, 'native/index.ts'))}); ${line}`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.equal(stderr, '')
  return stdout
}

const complain = `try { native.openTaskstats() } catch (error) { console.log(error.code + '\\n' + error.message) }`

test('without the addon the module can still be imported, and says so only when it is needed', () => {
  assert.equal(
    run(
      without('imported', () => {}),
      `console.log('still here')`,
    ),
    'still here\n',
  )
})

test('a missing addon is explained: where we are, what was looked for, what to do', () => {
  const root = without('missing', () => {})
  const said = run(root, complain)
  assert.match(
    said,
    /^ERR_LEADLINE_ADDON\ncannot load Leadline's native addon on linux-\w+, (glibc [\d.]+|musl), Node \d+/,
  )
  assert.ok(said.includes(`looked for: ${root}/native/build/leadline.node\n`), said)
  assert.match(said, /found: no such file\n {2}fix: bash native\/setup\.sh build\n$/)
})

test('a damaged addon is to be built again', () => {
  const root = without('damaged', (built) =>
    writeFileSync(built, 'no ELF at all, but longer than its header would be'.repeat(9)),
  )
  const said = run(root, complain)
  assert.match(said, /found: .*invalid ELF header/)
  assert.match(said, /fix: .*rm -r native\/build && bash native\/setup\.sh build\n$/)
})

for (const library of ['libbpf.so.99', 'libelf.so.99']) {
  test(`a machine without ${library} is told which packages to install`, () => {
    const root = without(library.replaceAll('.', '-'), (built) => {
      // Linked against a library whose file has another name, so that the loader finds none of that name.
      const missing = join(house, 'missing.so')
      const build = (...args: string[]) =>
        assert.equal(spawnSync('gcc', ['-shared', '-fPIC', ...args], { stdio: 'inherit' }).status, 0)
      build('-o', missing, `-Wl,-soname,${library}`)
      build('-o', built, '-Wl,--no-as-needed', missing)
    })
    const said = run(root, complain)
    assert.match(said, /found: lib(bpf|elf)\.so\.99: cannot open shared object file/)
    assert.match(said, /fix: apt-get install libbpf1 libelf1/)
  })
}

test('in a CommonJS bundle the addon is found and works', requires('addon'), () => {
  const bundle = join(house, 'bundled/dist/leadline.cjs')
  without('bundled', (built) => cpSync('native/build/leadline.node', built))
  buildSync({
    stdin: {
      contents: `import { readFiles } from './native/index.ts'; console.log(readFiles(['/proc/self/comm']).data.length > 0)`,
      resolveDir: process.cwd(),
    },
    define: { 'import.meta.dirname': '__dirname' },
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
  })
  const { stdout, stderr } = spawnSync(process.execPath, [bundle], { encoding: 'utf8' })
  assert.deepEqual({ stdout, stderr }, { stdout: 'true\n', stderr: '' })
})
