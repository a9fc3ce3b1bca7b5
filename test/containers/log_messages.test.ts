// Real containers complain: the agent's series name the container, its source, the level, and count what grep counts in
// what Docker itself kept; and no secret that stood in a log leaves the agent.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startAgent } from '../agent.ts'
import { atEnd } from '../ending.ts'
import type { Page } from '../exposition.ts'
import { startCollector } from '../interop/collector.ts'
import { freePort } from '../interop/ports.ts'
import { randomFrom } from '../random.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { type Container, startDocker } from './docker.ts'

/** The first build of the Collector on a machine takes minutes. */
const WITH_BUILD = { timeout: 900_000 }

type Counts = Readonly<Record<string, number>>
/** Level → what grep has to look for. */
type Truth = Readonly<Record<string, string>>

/** Debian's packages, in a container without an image of their own. */
const HOST_PACKAGES = [
  '/usr:/usr',
  '/usr/lib:/lib',
  '/usr/lib64:/lib64',
  '/etc/passwd:/etc/passwd',
  '/etc/group:/etc/group',
].flatMap((mount) => ['--volume', `${mount}:ro`])

const SECRET = 'hunter2Zx9'

const NGINX = `daemon off; user root; pid /tmp/pid; error_log stderr notice; worker_processes 1;
events {}
http {
  access_log /dev/stdout; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p;
  fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server {
    listen 127.0.0.1:8080;
    location / { root /none; }
    location /up { proxy_pass http://127.0.0.1:1; }
    location /ok { return 200 ok; }
  }
}`
const ASK_NGINX = `until wget -q -O /dev/null http://127.0.0.1:8080/ok 2>/dev/null; do sleep 0.2; done; for i in 1 2 3 4 5 6 7 8 9 10; do
  for path in ok missing up/error; do wget -q -O /dev/null "http://127.0.0.1:8080/$path?token=${SECRET}$i" 2>/dev/null; done
done`

const ASK_REDIS = `until /usr/bin/redis-cli -s /tmp/redis.sock SAVE >/dev/null 2>&1; do sleep 0.2; done
/usr/bin/redis-cli -s /tmp/redis.sock CONFIG SET maxmemory 10 >/dev/null`

const POSTGRES = `bin=$(echo /usr/lib/postgresql/*/bin); $bin/initdb -D /data/it -A trust --no-sync >/dev/null 2>&1
(
  psql() { $bin/psql -h /data -U postgres "$@" >/dev/null 2>&1; }
  until psql -c 'SELECT 1' postgres; do sleep 0.2; done
  for i in 1 2 3 4 5; do
    psql -c "SELECT *
FROM carts_$i
WHERE password = '${SECRET}$i'" postgres
    psql -c "DO \\$\\$ BEGIN RAISE WARNING 'only a warning'; END \\$\\$" postgres
    psql -c 'SELECT 1' missing_$i
  done
  # The server is its parent by then, and would take a failure for one of its own.
  exit 0
) &
exec $bin/postgres -D /data/it -k /data -c listen_addresses= -c 'log_line_prefix=%m [%p] '`

const POSTGRES_PREFIX = '^[0-9-]+ [0-9:.]+ [A-Z]+ \\[[0-9]+\\] '

/** What a program without a package would write, with its secrets. */
function writers(): Readonly<Record<string, readonly string[]>> {
  const next = randomFrom(9)
  const lines: Record<string, string[]> = { java: [], python: [], klog: [], json: [] }
  for (let i = 0; i < 300; i++) {
    const time = new Date(1_714_650_000_000 + i * 1000).toISOString()
    const isBad = next(10) < 3
    lines.java?.push(
      isBad
        ? `${time} ERROR 1 --- [exec-${i}] c.a.Orders : order ${i} failed\njava.lang.IllegalStateException: no stock for ${i}\n\tat c.a.Stock.take(Stock.java:${i})\nCaused by: java.io.IOException: Authorization: Bearer ${SECRET}${i}\n\t... ${i} more`
        : `${time}  INFO 1 --- [exec-${i}] c.a.Orders : order ${i} placed, api_key=${SECRET}${i}`,
    )
    lines.python?.push(
      isBad
        ? `${time} ERROR job ${i} failed\nTraceback (most recent call last):\n  File "/j.py", line ${i}, in run\n    go()\nOSError: postgres://shop:${SECRET}@db/${i}\n`
        : `${time} INFO job ${i} done for postgres://shop:${SECRET}@db/${i}`,
    )
    lines.klog?.push(
      `${isBad ? 'E' : 'I'}0502 11:20:31.${String(i).padStart(6, '0')}       1 reflector.go:${i}] watch of node-${i} ${isBad ? 'failed' : 'began'}: token=${SECRET}`,
    )
    lines.json?.push(
      `{"level":"${isBad ? 'error' : 'info'}","ts":${1_714_650_000 + i},"msg":"request ${i} ${isBad ? 'failed' : 'served'}","password":"${SECRET}${i}"}`,
    )
  }
  return lines
}

test('what containers complain about is counted by container, source and level, as grep counts it', {
  ...WITH_BUILD,
  ...requires('root', 'addon', 'docker', 'go', 'nginx', 'redis', 'postgres'),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-messages-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'nginx.conf'), NGINX)
  for (const [name, lines] of Object.entries(writers())) writeFileSync(join(folder, name), `${lines.join('\n')}\n`)

  const port = await freePort()
  const collector = await startCollector(t, { port })
  const docker = await startDocker(t, 'messages')
  const agent = await startAgent(t, {
    receivers: {
      container_logs: {
        storage: join(folder, 'storage'),
        include: { names: ['^/docker/leadline-messages-'] },
        collection_interval: '1s',
      },
    },
    processors: { log_fingerprint: { flush_after: '1s' }, container_attribution: {} },
    exporters: { otlp_grpc: { endpoint: `http://127.0.0.1:${port}` } },
  })

  const given = ['--volume', `${folder}:/given:ro`]
  const run = (label: string, script: string, ...flags: string[]) =>
    docker.run(label, { flags: [...given, ...flags], command: ['sh', '-c', script] })
  const id = (flag: string) => execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }).trim()
  const said = (label: string) => run(label, `cat /given/${label}; sleep 1000`)
  const asPostgres = ['--user', `${id('-u')}:${id('-g')}`, '--tmpfs', `/data:uid=${id('-u')},mode=0700`]
  const containers: readonly (readonly [Container, Truth, least?: Counts])[] = [
    [
      await run('nginx', `(${ASK_NGINX}) & exec /usr/sbin/nginx -e stderr -c /given/nginx.conf`, ...HOST_PACKAGES),
      { info: '\\[notice\\]', error: '\\[error\\]', unknown: '^[0-9.]+ - - \\[' },
      { unknown: 31 },
    ],
    [
      await run(
        'redis',
        `(${ASK_REDIS}) & exec /usr/bin/redis-server --port 0 --unixsocket /tmp/redis.sock --dir /tmp`,
        ...HOST_PACKAGES,
      ),
      { info: '^[0-9]+:[A-Z] .* [0-9:.]+ [*-] ', warning: '^[0-9]+:[A-Z] .* [0-9:.]+ # ' },
    ],
    [
      await run('postgres', POSTGRES, ...HOST_PACKAGES, ...asPostgres),
      {
        info: `${POSTGRES_PREFIX}LOG: `,
        warning: `${POSTGRES_PREFIX}WARNING: `,
        error: `${POSTGRES_PREFIX}ERROR: `,
        critical: `${POSTGRES_PREFIX}FATAL: `,
        unknown: `${POSTGRES_PREFIX}(STATEMENT|DETAIL|HINT|CONTEXT): `,
      },
      { critical: 5 },
    ],
    [await said('java'), { error: 'Z ERROR ', info: 'Z  INFO ' }],
    [await said('python'), { error: 'Z ERROR ', info: 'Z INFO ' }],
    [await said('klog'), { error: '^E0502', info: '^I0502' }],
    [await said('json'), { error: '"level":"error"', info: '"level":"info"' }],
  ]

  /** Of what Docker kept, which we did not read. */
  function counted({ id }: Container, truth: Truth): Counts {
    const kept = spawnSync('sh', ['-c', `docker logs ${id} 2>&1`], { encoding: 'latin1', maxBuffer: 1 << 26 }).stdout
    const grep = (what: string) => Number(spawnSync('grep', ['-cE', what], { input: kept, encoding: 'utf8' }).stdout)
    return some(Object.entries(truth).map(([level, what]) => [level, grep(what)]))
  }

  const isComplete = async () => {
    const page = await agent.scrape()
    return containers.every(([one, truth, least = {}]) => {
      const wanted = counted(one, truth)
      const isSaid = Object.keys(truth).every((level) => (wanted[level] ?? 0) >= (least[level] ?? 1))
      return isSaid && JSON.stringify(onPage(page, one)) === JSON.stringify(wanted)
    })
  }
  // What is missing in the end, the comparison shows.
  await until('the page has it all', isComplete, { deadlineMs: 30_000, everyMs: 1000 }).catch(() => {})

  const page = await agent.scrape()
  for (const [one, truth] of containers) {
    assert.deepEqual(onPage(page, one), counted(one, truth), one.name)
    assert.deepEqual(Object.keys(onPage(page, one)), Object.keys(truth).toSorted(), one.name)
    const sources = new Set(seriesOf(page, one).map(({ labels }) => labels.source))
    assert.deepEqual([...sources], ['stdout/stderr'], one.name)
    for (const { labels } of seriesOf(page, one)) assert.match(labels.pattern_hash ?? '', /^[0-9a-f]{16}$/)
  }

  // The same to the Collector: the latest export that has the container has all its series.
  function overOtlp({ id }: Container): Counts {
    const mine = collector
      .arrived()
      .filter(({ name, resource }) => name === 'container.log.messages' && resource['container.id'] === id)
    const latest = Math.max(...mine.map(({ request }) => request))
    return sums(mine.filter(({ request }) => request === latest).map((one) => [one.attributes.level, one.value]))
  }
  for (const [one, truth] of containers) {
    const wanted = counted(one, truth)
    const isThere = () => JSON.stringify(overOtlp(one)) === JSON.stringify(wanted)
    await until('the Collector has it', isThere, { deadlineMs: 5000, everyMs: 500 }).catch(() => {})
    assert.deepEqual(overOtlp(one), wanted, one.name)
  }

  const sent = JSON.stringify(collector.arrived().map(({ resource, attributes }) => ({ resource, attributes })))
  const logs = spawnSync('sh', ['-c', containers.map(([{ id }]) => `docker logs ${id} 2>&1`).join(';')], {
    encoding: 'latin1',
    maxBuffer: 1 << 26,
  }).stdout
  assert.ok(logs.split(SECRET).length > 500, 'the secret stands in the logs')
  assert.ok(!page.text.includes(SECRET), linesWith(page.text, SECRET))
  assert.ok(!sent.includes(SECRET), 'it went over OTLP')
  assert.ok(!agent.log().includes(SECRET), linesWith(agent.log(), SECRET))
})

const seriesOf = (page: Page, { name }: Container) =>
  page.all('container_log_messages_total', { container_id: `/docker/${name}` })

const onPage = (page: Page, one: Container): Counts =>
  sums(seriesOf(page, one).map(({ labels, value }) => [labels.level, value]))

function sums(values: readonly (readonly [string | undefined, number])[]): Counts {
  const by = new Map<string, number>()
  for (const [level = '', value] of values) by.set(level, (by.get(level) ?? 0) + value)
  return some([...by])
}

/** Levels that occur, in one order. */
const some = (counts: readonly (readonly [string, number])[]): Counts =>
  Object.fromEntries(counts.filter(([, count]) => count > 0).toSorted(([a], [b]) => (a < b ? -1 : 1)))

const linesWith = (text: string, what: string) =>
  text
    .split('\n')
    .filter((line) => line.includes(what))
    .join('\n')
