// What clients do to the page that no scraper does.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { servePage } from '../../../../otel-config/exporters/prometheus/server.ts'
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
