// A map of who talks to whom, drawn by a real Prometheus with the rules that we ship, out of what the agent says of a few
// real containers: redis, nginx with a published port, a client of both, and one that comes through the published port.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Docker, startDocker } from './docker.ts'

const RULES = join(import.meta.dirname, '../../otel-config/prometheus/service_map.rules.yaml')
const NGINX = `daemon off; error_log stderr; pid /tmp/nginx.pid; events {}
http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; server { listen 80; return 200 "hello"; } }`

/** An image with nothing but a Debian program and the libraries it asks for. */
function importProgram(t: TestContext, name: string, program: string, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-image-'))
  const image = `leadline-${name}:${process.pid}`
  try {
    const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)
    for (const path of [program, ...Array.from(libraries, ([, library = '']) => library)]) {
      mkdirSync(join(folder, dirname(path)), { recursive: true })
      copyFileSync(path, join(folder, path))
    }
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, dirname(path)), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    for (const empty of ['tmp', 'var/log/nginx', 'var/lib/nginx', 'dev'])
      mkdirSync(join(folder, empty), { recursive: true })
    const tar = execFileSync('tar', ['-C', folder, '-c', '.'], { maxBuffer: 1 << 28 })
    execFileSync('docker', ['import', '-', image], { input: tar, stdio: ['pipe', 'ignore', 'pipe'] })
    atEnd(t, () => execFileSync('docker', ['rmi', '--force', image], { stdio: 'ignore' }))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return image
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  server.close()
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

async function startPrometheus(t: TestContext, page: string): Promise<(query: string) => Promise<Sample[]>> {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-prometheus-'))
  const port = await freePort()
  copyFileSync(RULES, join(folder, 'rules.yaml'))
  writeFileSync(
    join(folder, 'prometheus.yml'),
    `{global: {scrape_interval: 1s, evaluation_interval: 1s}, rule_files: [rules.yaml],
      scrape_configs: [{job_name: leadline, static_configs: [{targets: ['${new URL(page).host}']}]}]}`,
  )
  const flags = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=127.0.0.1:${port}`]
  const child = spawn('prometheus', flags, { cwd: folder, stdio: 'ignore' })
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('close', resolve))
    rmSync(folder, { recursive: true, force: true })
  })
  return async (query) => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`)
    const { data } = (await answer.json()) as { data: { result: Sample[] } }
    return data.result
  }
}

type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] }

async function startContainers(t: TestContext, { docker, name, image }: Docker) {
  const network = name('network')
  await docker('network', 'create', network)
  atEnd(t, () => docker('network', 'rm', network))
  const run = async (label: string, flags: readonly string[], ...command: string[]) => {
    const given = name(label)
    await docker('run', '--detach', '--name', given, ...flags, ...command)
    atEnd(t, () => docker('rm', '--force', given))
    return given
  }
  const addressOf = (container: string) =>
    docker('inspect', '--format', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, container)

  const redisImage = importProgram(t, 'redis', '/usr/bin/redis-server', {})
  const nginxFiles = {
    'etc/passwd': 'nobody:x:65534:65534::/:/\n',
    'etc/group': 'nogroup:x:65534:\n',
    'nginx.conf': NGINX,
  }
  const nginxImage = importProgram(t, 'nginx', '/usr/sbin/nginx', nginxFiles)
  const redis = await run(
    'redis',
    ['--network', network],
    redisImage,
    '/usr/bin/redis-server',
    '--protected-mode',
    'no',
  )
  const port = await freePort()
  const published = ['--network', network, '--publish', `${port}:80`]
  const nginx = await run('nginx', published, nginxImage, '/usr/sbin/nginx', '-c', '/nginx.conf')
  const [redisAddress, nginxAddress] = [await addressOf(redis), await addressOf(nginx)]
  const gateway = await docker(
    'inspect',
    '--format',
    `{{(index .NetworkSettings.Networks "${network}").Gateway}}`,
    nginx,
  )
  const onNetwork = ['--network', network]
  return {
    redis,
    nginx,
    redisAddress,
    nginxAddress,
    gateway,
    port,
    hold: (label: string, flags: readonly string[], ...to: string[]) =>
      run(label, flags, image, 'connections', 'hold', ...to),
    onNetwork,
  }
}

test(
  'a Prometheus draws the map: clients, redis and nginx, through a published port as well',
  requires('root', 'addon', 'docker', 'bpf', 'promtool'),
  async (t) => {
    const started = await startContainers(t, await startDocker(t, 'map'))
    const { redis, nginx, redisAddress, nginxAddress, gateway, port, hold, onNetwork } = started
    const before = await hold('before', onNetwork, redisAddress, '6379', '3')
    const agent = await startAgent(t, {
      receivers: { tcp_connections: {} },
      processors: { container_attribution: {}, nat_resolution: {} },
    })
    const query = await startPrometheus(t, agent.url)
    const client = await hold('client', onNetwork, redisAddress, '6379', '5')
    const reader = await hold('reader', onNetwork, nginxAddress, '80', '4')
    const edge = await hold('edge', ['--network', 'host'], gateway, String(port), '7')

    const edges = async () =>
      (await query('leadline:service_map:active_connections'))
        .map(
          ({ metric, value }) => `${metric.container_id} → ${metric.server} ${metric.actual_destination} ${value[1]}`,
        )
        .filter((line) => line.includes(`-${process.pid}-`))
        .toSorted()
    const expected = [
      `/docker/${before} → /docker/${redis} ${redisAddress}:6379 3`,
      `/docker/${client} → /docker/${redis} ${redisAddress}:6379 5`,
      `/docker/${edge} → /docker/${nginx} ${nginxAddress}:80 7`,
      `/docker/${reader} → /docker/${nginx} ${nginxAddress}:80 4`,
    ].toSorted()
    await until('the map is drawn', async () => (await edges()).length === expected.length, {
      deadlineMs: 20_000,
    }).catch(() => {})
    assert.deepEqual(await edges(), expected)

    const [through] = await query(`container_net_tcp_active_connections{container_id="/docker/${edge}"}`)
    assert.equal(through?.metric.destination, `${gateway}:${port}`)
    assert.equal(through?.metric.actual_destination, `${nginxAddress}:80`)
    const publishedAt = await query(`container_net_tcp_listen_info{container_id="/docker/${nginx}",proxy="dockerd"}`)
    assert.ok(
      publishedAt.some(({ metric }) => metric.listen_addr === `${gateway}:${port}`),
      JSON.stringify(publishedAt),
    )
  },
)
