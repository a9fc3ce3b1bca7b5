// What becomes of points when the other side takes them, refuses them, is away, or hangs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from '../../../ending.ts'
import { batch, cgroup, point, resource } from '../../../processors/given.ts'
import { until } from '../../../until.ts'
import { resourcesIn, run } from './given.ts'
import { type MetricsServer, type Reply, retryInfo, serveMetrics, TAKEN } from './server.ts'

const WEB = resource('web')
const WEB_CGROUP = cgroup(1)
/** A marker that no other number looks like, to be found among bytes. */
const VALUE = 1234567.0625
const counter = (value: number) => batch([point({ subject: WEB_CGROUP, value, resource: WEB })], Date.now())
const isIn = (bytes: Buffer, value: number) => {
  const double = Buffer.alloc(8)
  double.writeDoubleLE(value)
  return bytes.includes(double)
}

async function server(t: Parameters<typeof atEnd>[0], reply: (at: number) => Reply, port = 0): Promise<MetricsServer> {
  const made = await serveMetrics(reply, port)
  atEnd(t, () => made.stop())
  return made
}

test('what is taken is counted as sent, and not sent again', async (t) => {
  const { port, requests } = await server(t, () => TAKEN)
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}`, headers: { 'X-Scope-OrgID': 'blue' } })
  exporter.consume(counter(VALUE))
  await until('a request', () => requests.length === 1)
  await until('it is counted', async () => ((await exporter.own('otelcol_exporter_sent_metric_points')) ?? 0) > 0)
  assert.ok(isIn(requests[0]?.bytes ?? TAKEN, VALUE))
  assert.deepEqual(requests[0]?.metadata.get('x-scope-orgid'), ['blue'])
  assert.match(String(requests[0]?.metadata.get('user-agent')), /^leadline\/\d/)
  assert.equal(await exporter.own('otelcol_exporter_queue_size'), 0)
  exporter.consume(batch([], Date.now(), 'other'))
  await until('another request, with our own telemetry alone', () => requests.length === 2)
  assert.ok(!isIn(requests[1]?.bytes ?? TAKEN, VALUE))
})

// OTLP specification, "Failures"; RESOURCE_EXHAUSTED alone is not among them.
for (const code of [1, 4, 10, 11, 14, 15]) {
  test(`gRPC status ${code} is tried again until it works`, async (t) => {
    const { port, requests, taken } = await server(t, (at) => (at < 2 ? { code } : TAKEN))
    const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
    exporter.consume(counter(VALUE))
    await until('it is taken', () => taken.length === 1)
    assert.equal(requests.length, 3)
    assert.ok(isIn(taken[0]?.bytes ?? TAKEN, VALUE))
    await until('the end of the trouble is told', () =>
      exporter.lines.some(({ message }) => /works again/.test(message)),
    )
    const told = exporter.lines.filter(({ level, message }) => level === 'error' && /Will retry/.test(message))
    assert.equal(told.length, 1, 'once for both failures')
    assert.ok(String(told[0]?.fields.fix).length > 20)
    assert.equal(await exporter.own('otelcol_exporter_send_failed_metric_points'), 0)
    assert.equal(await exporter.own('otelcol_exporter_retries'), 2)
  })
}

for (const code of [2, 3, 5, 7, 8, 12, 13, 16]) {
  test(`gRPC status ${code} is final: dropped, counted, and the next value is tried`, async (t) => {
    const { port, requests } = await server(t, (at) => (at === 0 ? { code } : TAKEN))
    const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
    exporter.consume(counter(VALUE))
    const dropped = await until('it is said', () => exporter.lines.find(({ message }) => /Dropping data/.test(message)))
    assert.ok(Number(dropped.fields.dropped_items) >= 1)
    assert.ok(((await exporter.own('otelcol_exporter_send_failed_metric_points')) ?? 0) >= 1)
    await sleep(150)
    assert.equal(requests.length, 1)
    exporter.consume(counter(VALUE + 1))
    await until('the next', () => requests.length === 2)
    assert.ok(isIn(requests[1]?.bytes ?? TAKEN, VALUE + 1))
  })
}

test('RESOURCE_EXHAUSTED with a RetryInfo is tried again, when the server said', async (t) => {
  const { port, requests } = await server(t, (at) =>
    at === 0 ? { code: 8, details: retryInfo(0, 400_000_000) } : TAKEN,
  )
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
  exporter.consume(counter(VALUE))
  await until('it is taken', () => requests.length === 2)
  const waitedMs = (requests[1]?.atMs ?? 0) - (requests[0]?.atMs ?? 0)
  assert.ok(waitedMs >= 399, `${waitedMs} ms`)
})

test('during an outage the newest value waits, and only that', async (t) => {
  const first = await server(t, () => TAKEN)
  const { port } = first
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
  exporter.consume(counter(1.0625))
  await until('the first', () => first.taken.length === 1)
  first.stop()
  for (let at = 2; at <= 20; at++) {
    exporter.consume(counter(at + 0.0625))
    await sleep(20)
  }
  await until('the queue is not empty', async () => ((await exporter.own('otelcol_exporter_queue_size')) ?? 0) > 0)
  const second = await server(t, () => TAKEN, port)
  await until('it is back', () => second.taken.length === 1)
  assert.ok(isIn(second.taken[0]?.bytes ?? TAKEN, 20.0625))
  assert.ok(!isIn(second.taken[0]?.bytes ?? TAKEN, 19.0625))
  await until('the queue is empty', async () => (await exporter.own('otelcol_exporter_queue_size')) === 0)
})

test('what a container counted last waits too, longer than its series would stay', async (t) => {
  const { port, taken } = await server(t, (at) => (at < 8 ? { code: 14 } : TAKEN))
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}`, metric_expiration: '1ms' })
  const subject = cgroup(2)
  exporter.consume(batch([point({ subject, value: VALUE, resource: WEB })], Date.now()))
  subject.endedMs = Date.now()
  await until('it is taken', () => taken.length === 1)
  assert.ok(isIn(taken[0]?.bytes ?? TAKEN, VALUE))
  assert.equal(await exporter.own('otelcol_exporter_enqueue_failed_metric_points'), 0)
  exporter.consume(counter(1))
  await until('then it is forgotten', async () => (await exporter.own('otelcol_exporter_series')) === 1)
})

test('a queue without room for them loses the dead, and counts them', async (t) => {
  const { port } = await server(t, () => ({ code: 14 }))
  const exporter = await run(t, {
    endpoint: `http://127.0.0.1:${port}`,
    metric_expiration: '1ms',
    sending_queue: { queue_size: 10, sizer: 'items', batch: { flush_timeout: '5ms' } },
  })
  for (let id = 1; id <= 25; id++) {
    const subject = cgroup(id)
    exporter.consume(batch([point({ subject, value: 1, resource: resource(`c${id}`) })], Date.now()))
    subject.endedMs = Date.now()
  }
  await until(
    'the rest is lost',
    async () => (await exporter.own('otelcol_exporter_enqueue_failed_metric_points')) === 15,
  )
  assert.equal(await exporter.own('otelcol_exporter_series'), 10)
})

test('after max_elapsed_time what waits is given up', async (t) => {
  const { port, requests } = await server(t, () => ({ code: 14, message: 'not now' }))
  const exporter = await run(t, {
    endpoint: `http://127.0.0.1:${port}`,
    retry_on_failure: { max_elapsed_time: '200ms' },
  })
  exporter.consume(counter(VALUE))
  const dropped = await until('it is given up', () => exporter.lines.find(({ message }) => /Dropping/.test(message)))
  assert.equal(dropped.fields.dropped_items, 1)
  assert.ok(requests.length >= 3)
  assert.equal(await exporter.own('otelcol_exporter_send_failed_metric_points'), 1)
})

for (const off of [{ retry_on_failure: { enabled: false } }, { sending_queue: { enabled: false } }]) {
  test(`with ${JSON.stringify(off)} nothing is tried twice`, async (t) => {
    const { port, requests } = await server(t, () => ({ code: 14 }))
    const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}`, ...off })
    exporter.consume(counter(VALUE))
    await until('it is dropped', () => exporter.lines.some(({ message }) => /Dropping/.test(message)))
    await sleep(150)
    assert.equal(requests.length, 1)
  })
}

test('a partial success is counted and told once', async (t) => {
  // ExportMetricsServiceResponse { partial_success: 1 { rejected_data_points: 1 = 1, error_message: 2 = "old" } }
  const partial = Buffer.from([0x0a, 0x07, 0x08, 0x01, 0x12, 0x03, 0x6f, 0x6c, 0x64])
  const { port, requests } = await server(t, () => partial)
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
  exporter.consume(counter(1))
  await until('one', () => requests.length === 1)
  await until('it is counted', async () => (await exporter.own('otelcol_exporter_send_failed_metric_points')) === 1)
  exporter.consume(counter(2))
  await until('two', async () => (await exporter.own('otelcol_exporter_send_failed_metric_points')) === 2)
  const told = exporter.lines.filter(({ level }) => level === 'warn')
  assert.deepEqual(
    told.map(({ message, fields }) => [message, fields.error, fields.dropped_items]),
    [['The server refused a part', 'old', 1]],
  )
})

test('stop sends what is still there', async (t) => {
  const { port, taken } = await server(t, () => TAKEN)
  const exporter = await run(t, {
    endpoint: `http://127.0.0.1:${port}`,
    sending_queue: { batch: { flush_timeout: '1h' } },
  })
  exporter.consume(counter(VALUE))
  await sleep(50)
  assert.equal(taken.length, 0)
  await exporter.stop(2000)
  assert.ok(taken.some(({ bytes }) => isIn(bytes, VALUE)))
})

test('stop ends in time with a server that hangs, and says what is lost', async (t) => {
  const { port, requests } = await server(t, () => 'hang')
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
  exporter.consume(counter(VALUE))
  await until('a request', () => requests.length === 1)
  const startMs = performance.now()
  await exporter.stop(400)
  const tookMs = performance.now() - startMs
  assert.ok(tookMs < 900, `${tookMs} ms`)
  const last = exporter.lines.at(-1)
  assert.equal(last?.message, 'Dropping data at the end')
  assert.equal(last?.fields.dropped_items, 1)
})

test('nobody there: no failure to start, an error once with a remedy', async (t) => {
  const exporter = await run(t, { endpoint: 'http://127.0.0.1:1' })
  exporter.consume(counter(VALUE))
  await until('several attempts', async () => ((await exporter.own('otelcol_exporter_retries')) ?? 0) >= 3)
  const errors = exporter.lines.filter(({ level }) => level === 'error')
  assert.equal(errors.length, 1)
  assert.match(String(errors[0]?.fields.error), /ECONNREFUSED/)
  assert.match(String(errors[0]?.fields.fix), /is there a Collector .* on 127\.0\.0\.1:1,/)
})

test('requests stay below 5000 points and 4 MiB, and split no container needlessly', async (t) => {
  const { port, taken, requests } = await server(t, () => TAKEN)
  const exporter = await run(t, { endpoint: `http://127.0.0.1:${port}` })
  const long = 'x'.repeat(900)
  const points = Array.from({ length: 40 }, (_, container) => {
    const subject = cgroup(container + 1)
    const own = resource(`c${container}`)
    return Array.from({ length: 300 }, (_, at) =>
      point({ subject, value: at, resource: own, attributes: { at: String(at), long } }),
    )
  }).flat()
  exporter.consume(batch(points, Date.now()))
  await until('all', async () => ((await exporter.own('otelcol_exporter_sent_metric_points')) ?? 0) >= 12_000)
  assert.equal(requests.length, taken.length)
  assert.ok(taken.every(({ bytes }) => bytes.length < 4 * 2 ** 20))
  // 12 000 points of about 1 kB are 12 MB: 4 requests by bytes, and each container whole in one of them.
  assert.ok(taken.length >= 3 && taken.length <= 5, `${taken.length} requests`)
  const resources = taken.flatMap(({ bytes }) => resourcesIn(bytes).map((one) => Buffer.from(one).toString('latin1')))
  const names = resources
    .map((text) => /container\.name.{4,6}?(c\d+)/s.exec(text)?.[1])
    .filter((name) => name !== undefined)
  assert.equal(names.length, 40)
  assert.equal(new Set(names).size, 40)
})

test('a container with more points than a request takes is split', async (t) => {
  const { port, taken } = await server(t, () => TAKEN)
  const exporter = await run(t, {
    endpoint: `http://127.0.0.1:${port}`,
    sending_queue: { batch: { flush_timeout: '5ms', max_size: 100 } },
  })
  const points = Array.from({ length: 1050 }, (_, at) =>
    point({ subject: WEB_CGROUP, value: at, resource: WEB, attributes: { at: String(at) } }),
  )
  exporter.consume(batch(points, Date.now()))
  await until('all', async () => ((await exporter.own('otelcol_exporter_sent_metric_points')) ?? 0) >= 1050)
  assert.ok(taken.length >= 11 && taken.length <= 12, `${taken.length} requests`)
})
