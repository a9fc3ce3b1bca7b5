// The tree of packages: what a second copy would break is checked here.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, { version: string }> }

const copiesOf = (name: string) =>
  Object.keys(lock.packages).filter((path) => path === `node_modules/${name}` || path.endsWith(`/node_modules/${name}`))

for (const name of [
  '@opentelemetry/api',
  '@opentelemetry/core',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-metrics',
  '@opentelemetry/otlp-transformer',
  '@opentelemetry/otlp-exporter-base',
  '@opentelemetry/otlp-grpc-exporter-base',
  '@opentelemetry/exporter-prometheus',
  '@opentelemetry/exporter-metrics-otlp-grpc',
  '@grpc/grpc-js',
]) {
  test(`there is one copy of ${name}, in the lock file and on disk`, () => {
    assert.deepEqual(copiesOf(name), [`node_modules/${name}`])
    const onDisk = globSync(`node_modules/{,**/node_modules/}${name}/package.json`)
    assert.deepEqual(onDisk, [`node_modules/${name}/package.json`])
  })
}

test('every dependency is pinned to one exact version', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<
    string,
    Record<string, string>
  >
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is "${version}"`)
    assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name)
  }
})

test('the lock file names no download addresses', () => {
  assert.doesNotMatch(readFileSync('package-lock.json', 'utf8'), /"resolved":/)
})
