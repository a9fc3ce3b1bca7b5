// The commands that answer and end: what they print where, and their exit codes, which are 0 and 1.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { folder, leadline, SMALL } from './given.ts'

test('without arguments it says what it can do', () => {
  const { code, stdout, stderr } = leadline([])
  assert.deepEqual([code, stderr], [0, ''])
  for (const command of ['run', 'validate', 'components', 'print-config'])
    assert.match(stdout, new RegExp(`leadline ${command}`))
  assert.equal(leadline(['--help']).stdout, stdout)
  assert.equal(leadline(['help']).stdout, stdout)
})

test('every command it names has help', () => {
  for (const command of ['run', 'validate', 'components', 'print-config']) {
    const { code, stdout } = leadline(['help', command])
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`^leadline ${command}`))
    assert.equal(leadline([command, '--help']).stdout, stdout)
  }
})

test('--version is one line in the form of the Collector', () => {
  assert.match(leadline(['--version']).stdout, /^leadline version \d+\.\d+\.\d+\n$/)
  assert.equal(leadline(['-v']).stdout, leadline(['--version']).stdout)
})

for (const [args, message] of [
  [['vlidate'], 'unknown command "vlidate" (did you mean validate?). See: leadline help'],
  [['validate'], 'at least one config flag must be provided: leadline validate --config FILE'],
  [['validate', '--confg', 'x'], 'unknown flag: --confg (did you mean --config?). See: leadline help validate'],
  [['run', '--config'], "option '--config <value>' argument missing. See: leadline help run"],
  [['components', '--set', 'a=b'], 'unknown flag: --set. See: leadline help components'],
  [['help', 'me'], 'there is no help on "me". See: leadline help'],
  [['print-config', '--format', 'toml'], 'unknown --format "toml": yaml or json'],
  [['print-config', '--mode=open'], 'unknown --mode "open": redacted or unredacted'],
] as const) {
  test(`leadline ${args.join(' ')} ends with 1 and one line`, () => {
    assert.deepEqual(leadline(args), { code: 1, stdout: '', stderr: `Error: ${message}\n` })
  })
}

test('validate is silent when all is fine, in every spelling of its flags', (context) => {
  const file = folder(context)('agent.yaml', SMALL)
  const silent = { code: 0, stdout: '', stderr: '' }
  assert.deepEqual(leadline(['validate', '--config', file]), silent)
  assert.deepEqual(leadline(['validate', `--config=file:${file}`, '--set=receivers.cgroup.timeout=1s']), silent)
  assert.deepEqual(leadline(['validate', '-config', file]), silent)
  assert.deepEqual(leadline(['validate', '--config', 'env:AGENT'], { AGENT: SMALL }), silent)
})

test('validate warns of what is not used, and is content', (context) => {
  const file = folder(context)('agent.yaml', SMALL.replace('{cgroup: ', '{delay_accounting: , cgroup: '))
  const { code, stderr } = leadline(['validate', '--config', file])
  assert.equal(code, 0)
  assert.equal(
    stderr,
    `${file}:1:13  warning: receivers::delay_accounting: is in no pipeline: checked, but not started\n`,
  )
})

test('validate --set alone is about the built-in configuration', () => {
  assert.equal(leadline(['validate', '--set', 'exporters.prometheus.endpoint=localhost:9465']).code, 0)
  const { code, stderr } = leadline(['validate', '--set', 'receivers.cgroup.timeout=soon'])
  assert.equal(code, 1)
  assert.match(stderr, /^--set receivers\.cgroup\.timeout=soon {2}receivers::cgroup::timeout: expected a duration/)
})

test('validate --json is for machines', (context) => {
  const file = folder(context)('agent.yaml', SMALL.replace('200ms', 'soon'))
  const { code, stdout, stderr } = leadline(['validate', '--json', '--config', file])
  assert.deepEqual([code, stderr], [1, ''])
  assert.deepEqual(JSON.parse(stdout), {
    valid: false,
    problems: [
      {
        source: file,
        line: 1,
        column: 22,
        path: 'receivers::cgroup::collection_interval',
        message: 'expected a duration such as 10s, got "soon"',
      },
    ],
    warnings: [],
  })
})

test('the configurations that we ship are valid', () => {
  assert.deepEqual(leadline(['validate', '--config', 'otel-config/agent.yaml']), { code: 0, stdout: '', stderr: '' })
})

test('components lists them in the form of the Collector', () => {
  const { code, stdout } = leadline(['components'])
  assert.equal(code, 0)
  const list = parse(stdout)
  assert.deepEqual(Object.keys(list), [
    'buildinfo',
    'receivers',
    'processors',
    'exporters',
    'connectors',
    'extensions',
    'providers',
    'converters',
  ])
  const names = list.receivers.map(({ name }: { name: string }) => name)
  assert.deepEqual(names, names.toSorted())
  assert.ok(names.includes('cgroup'))
  assert.match(list.receivers[0].stability.metrics, /^(Development|Alpha|Beta|Stable)$/)
  assert.deepEqual(JSON.parse(leadline(['components', '--json']).stdout), list)
})

test('what print-config prints is a configuration', (context) => {
  const write = folder(context)
  const { code, stdout } = leadline(['print-config'])
  assert.equal(code, 0)
  assert.equal(leadline(['validate', '--config', write('printed.yaml', stdout)]).code, 0)
  const { stdout: json } = leadline(['print-config', '--format', 'json', '--set=receivers.cgroup.timeout=1s'])
  assert.equal(JSON.parse(json).receivers.cgroup.timeout, '1s')
})

test('print-config does not print what is not valid, unless told so', () => {
  const broken = 'yaml:receivers: {cgroup: {x: 1}}'
  assert.equal(leadline(['print-config', '--config', broken]).code, 1)
  assert.deepEqual(leadline(['print-config', '--validate=false', '--config', broken]), {
    code: 0,
    stdout: 'receivers:\n  cgroup:\n    x: 1\n',
    stderr: '',
  })
})

test('the launcher finds its files from anywhere, and says what is wrong with an old Node', (context) => {
  const launcher = `${process.cwd()}/otel-config/bin/leadline`
  const here = dirname(process.execPath)
  const found = spawnSync(launcher, ['--version'], {
    cwd: '/',
    encoding: 'utf8',
    env: { PATH: `${here}:/usr/bin:/bin` },
  })
  assert.deepEqual([found.status, found.stderr], [0, ''])
  assert.match(found.stdout, /^leadline version /)

  // Copied away from this checkout, so that a Node which setup.sh got is not there.
  const write = folder(context)
  const fake = write('node', '#!/bin/sh\necho v20.20.2\n')
  chmodSync(fake, 0o755)
  const copy = `${dirname(fake)}/a/b/leadline`
  spawnSync('install', ['-D', '-m', '755', launcher, copy])
  const old = spawnSync(copy, ['--version'], { encoding: 'utf8', env: { PATH: `${dirname(fake)}:/usr/bin:/bin` } })
  assert.equal(old.status, 1)
  assert.match(old.stderr, /^leadline needs Node 24 or newer; this is 20\.20\.2\.\n {2}fix: /)
})
