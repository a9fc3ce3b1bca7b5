// Settings of the extension `host`: what holds without any, and what is refused.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import * as z from 'zod/mini'
import { hostSettings } from '../../../receivers/host/settings.ts'

const before = process.env.DOCKER_HOST
afterEach(() => {
  if (before === undefined) delete process.env.DOCKER_HOST
  else process.env.DOCKER_HOST = before
})

test('without any, it is this machine and its Docker', () => {
  delete process.env.DOCKER_HOST
  assert.deepEqual(z.parse(hostSettings, {}), {
    root_path: '/',
    cgroup_root: '/sys/fs/cgroup',
    remember: 60_000,
    negative_cache: 30_000,
    docker: { endpoint: 'unix:///var/run/docker.sock', timeout: 2000 },
    systemd: { skip_system_units: true, timeout: 2000 },
  })
})

test('DOCKER_HOST counts where it is something that can be asked', () => {
  const endpoint = () => z.parse(hostSettings, {}).docker.endpoint
  process.env.DOCKER_HOST = 'unix:///run/user/1000/docker.sock'
  assert.equal(endpoint(), 'unix:///run/user/1000/docker.sock')
  process.env.DOCKER_HOST = 'tcp://10.0.0.1:2375'
  assert.equal(endpoint(), 'tcp://10.0.0.1:2375')
  for (const other of ['ssh://me@host', 'npipe:////./pipe/docker', '', 'nonsense']) {
    process.env.DOCKER_HOST = other
    assert.equal(endpoint(), 'unix:///var/run/docker.sock')
  }
})

test('what cannot be is refused', () => {
  const wrong = [
    { docker: { endpoint: '/var/run/docker.sock' } },
    { docker: { endpoint: 'ssh://me@host' } },
    { docker: { timeout: 'soon' } },
    { root_path: 'host' },
    { cgroup_root: '' },
    { remember: -1 },
    { systemd: { skip_system_units: 'yes' } },
    { unknown: 1 },
  ]
  for (const settings of wrong) {
    assert.equal(z.safeParse(hostSettings, settings).success, false, JSON.stringify(settings))
  }
})
