// What clients do to the page that no scraper does.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { patienceMs, servePage } from '../../../../otel-config/exporters/prometheus/server.ts'
import { atEnd } from '../../../ending.ts'
import { until } from '../../../until.ts'

const PAGE = 'x 1\n'.repeat(250_000)

async function serve(t: TestContext): Promise<number> {
  const server = await servePage({
    endpoint: { host: '127.0.0.1', port: 0 },
    page: async () => PAGE,
    timeoutMs: 5_000,
    onFailure: (error) => assert.fail(error),
    onSuccess: () => undefined,
  })
  atEnd(t, () => server.close())
  return server.port
}

test('many requests at once on a connection that nobody reads from cost no memory', async (t) => {
  const port = await serve(t)
  const before = process.memoryUsage().rss
  const sockets = Array.from({ length: 20 }, () => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined)
    socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(50))
    return socket
  })
  await until('all were turned away', () => sockets.every(({ destroyed }) => destroyed))
  const grown = process.memoryUsage().rss - before
  assert.ok(grown < 200 * 2 ** 20, `grew by ${grown} bytes; a copy for each request would be a gigabyte`)
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  assert.equal((await response.text()).length, PAGE.length)
})

test('a request may name the whole address', async (t) => {
  const port = await serve(t)
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  let answer = ''
  socket.on('data', (chunk: string) => (answer += chunk))
  socket.write('GET http://host:9464/metrics?a=b HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n')
  await until('it was answered', () => socket.destroyed)
  assert.match(answer, /^HTTP\/1.1 200 /)
})

test('a scraper that says how long it waits is told in time that there is nothing', async (t) => {
  const server = await servePage({
    endpoint: { host: '127.0.0.1', port: 0 },
    page: () => new Promise(() => {}),
    timeoutMs: 600_000,
    onFailure: () => undefined,
    onSuccess: () => assert.fail('there is no page'),
  })
  atEnd(t, () => server.close())
  const headers = { 'X-Prometheus-Scrape-Timeout-Seconds': '1.5' }
  const startMs = performance.now()
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`, { headers })
  assert.equal(response.status, 503)
  assert.equal(await response.text(), 'no metrics: not collected within 1 s\n')
  assert.ok(performance.now() - startMs >= 999)
})

test('what is no number of seconds is no word of the scraper', () => {
  const told = (text?: string) => patienceMs({ headers: text === undefined ? {} : { [NAME]: text } })
  const NAME = 'x-prometheus-scrape-timeout-seconds'
  assert.deepEqual(['10', '10.000000', '0.2'].map(told), [9_500, 9_500, 100])
  for (const text of [undefined, '', '0', '-1', 'soon', 'NaN', 'Infinity', '10, 10']) {
    assert.equal(told(text), Number.POSITIVE_INFINITY)
  }
})
