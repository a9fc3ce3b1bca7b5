// The way to a real Collector that wants TLS, and client certificates; and what people are told when it does not work.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { atEnd } from '../ending.ts'
import { run } from '../otel-config/exporters/otlp_grpc/given.ts'
import { batch, cgroup, point, resource } from '../processors/given.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'
import { scratch, startCollector } from './collector.ts'
import { freePort } from './ports.ts'

const WITH_BUILD = { timeout: 900_000 }

/** An authority, and certificates that it signed for a server called `collector.test` and for a client. */
function certificates(folder: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority', '-days', '2')
  for (const [name, host] of [
    ['server', 'collector.test'],
    ['client', 'agent.test'],
  ] as const) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${host}`)
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=DNS:${host}\n`)
    const signed = ['-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2']
    openssl('x509', '-req', ...signed, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
  }
  const at = (name: string) => join(folder, name)
  return {
    ca: at('ca.pem'),
    serverCert: at('server.pem'),
    serverKey: at('server.key'),
    cert: at('client.pem'),
    key: at('client.key'),
  }
}

const counter = () => batch([point({ subject: cgroup(1), value: 7, resource: resource('web') })], Date.now())

async function setUp(t: TestContext) {
  const files = certificates(scratch(t))
  const port = await freePort()
  const tls = { cert_file: files.serverCert, key_file: files.serverKey, client_ca_file: files.ca }
  const collector = await startCollector(t, { port, grpc: { tls } })
  return { files, port, collector }
}

test('TLS to a Collector that asks for a client certificate', { ...WITH_BUILD, ...requires('go') }, async (t) => {
  const { files, port, collector } = await setUp(t)
  const good = {
    ca_file: files.ca,
    cert_file: files.cert,
    key_file: files.key,
    server_name_override: 'collector.test',
  }
  const endpoint = `127.0.0.1:${port}`
  const count = () => collector.arrived().filter(({ name }) => name === 'test.counter').length

  await t.test('with all of it, points arrive', async (inner) => {
    const exporter = await run(inner, { endpoint, tls: good, compression: 'gzip' })
    exporter.consume(counter())
    await until('it arrives', () => count() === 1)
    assert.deepEqual(exporter.lines, [])
  })

  await t.test('believing whoever answers needs no authority', async (inner) => {
    const { cert_file, key_file } = good
    const exporter = await run(inner, { endpoint, tls: { insecure_skip_verify: true, cert_file, key_file } })
    exporter.consume(counter())
    await until('it arrives', () => count() === 2)
  })

  const { server_name_override: _, ...unnamed } = good
  const WRONG: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ['an authority that nobody knows', { server_name_override: 'collector.test' }, /set tls::ca_file/],
    ['a certificate for another name', { tls: unnamed }, /set tls::server_name_override/],
    [
      'no client certificate',
      { tls: { ca_file: files.ca, server_name_override: 'collector.test' } },
      /set tls::cert_file/,
    ],
    ['plain text', { tls: { insecure: true } }, /is tls as it expects/],
  ]
  for (const [what, given, remedy] of WRONG) {
    await t.test(`${what} is told with its remedy`, async (inner) => {
      const tls = 'tls' in given ? given.tls : { ...given, cert_file: files.cert, key_file: files.key }
      const exporter = await run(inner, { endpoint, tls })
      exporter.consume(counter())
      const line = await until('an error', () => exporter.lines.find(({ level }) => level === 'error'))
      inner.diagnostic(`${line.fields.error}`)
      assert.match(String(line.fields.fix), remedy)
    })
  }
  assert.equal(count(), 2)
})

test('TLS to a server without it is told', { ...WITH_BUILD, ...requires('go') }, async (t) => {
  const port = await freePort()
  await startCollector(t, { port })
  const exporter = await run(t, { endpoint: `127.0.0.1:${port}` })
  exporter.consume(counter())
  const line = await until('an error', () => exporter.lines.find(({ level }) => level === 'error'))
  assert.match(String(line.fields.fix), /does not speak TLS: set tls::insecure to true/, String(line.fields.error))
})

test('files that are not there or hold something else stop the start, with the setting', async (t) => {
  const folder = scratch(t)
  writeFileSync(join(folder, 'empty.pem'), 'nothing')
  const start = (tls: object) => run(t, { endpoint: 'localhost:4317', tls })
  await assert.rejects(
    start({ ca_file: '/nowhere/ca.pem' }),
    /tls::ca_file: \/nowhere\/ca.pem: there is no such file · fix:/,
  )
  await assert.rejects(start({ ca_file: join(folder, 'empty.pem') }), /empty.pem: holds no PEM · fix:/)
  const { cert, serverKey } = certificates(folder)
  await assert.rejects(start({ cert_file: cert, key_file: serverKey }), /certificate and key cannot be used: .* · fix:/)
})

test('the name that is wanted goes into the handshake, by which gateways choose', async (t) => {
  const files = certificates(scratch(t))
  const names: (string | undefined)[] = []
  const server = createTlsServer({
    key: readFileSync(files.serverKey),
    cert: readFileSync(files.serverCert),
    ALPNProtocols: ['h2'],
    SNICallback(name, done) {
      names.push(name)
      done(null)
    },
  })
  server.on('error', () => {}).on('secureConnection', (socket) => socket.on('error', () => {}).destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => server.close())
  const { port } = server.address() as AddressInfo
  const tls = { ca_file: files.ca, server_name_override: 'collector.test' }
  const exporter = await run(t, { endpoint: `127.0.0.1:${port}`, tls })
  exporter.consume(counter())
  await until('a handshake', () => names.length > 0)
  assert.equal(names[0], 'collector.test')
})

test('gzip makes less of it on the wire', { ...WITH_BUILD, ...requires('go') }, async (t) => {
  const port = await freePort()
  const collector = await startCollector(t, { port })
  const points = Array.from({ length: 2000 }, (_, at) =>
    point({ subject: cgroup(1), value: at, resource: resource('web'), attributes: { at: String(at) } }),
  )
  const sent: number[] = []
  for (const [at, compression] of ['none', 'gzip'].entries()) {
    const meter = await meteredWay(t, port)
    const exporter = await run(t, { endpoint: `http://127.0.0.1:${meter.port}`, compression })
    exporter.consume(batch(points, Date.now()))
    await until(
      'all',
      () => collector.arrived().filter(({ name }) => name === 'test.counter').length === 2000 * (at + 1),
    )
    sent.push(meter.bytes())
  }
  t.diagnostic(`${sent.join(' and ')} bytes`)
  assert.ok((sent[1] ?? Number.NaN) < (sent[0] ?? 0) / 3, sent.join(' '))
})

/** A port that leads to another, and counts the bytes that go there. */
async function meteredWay(t: TestContext, to: number) {
  let bytes = 0
  const server = createServer((client) => {
    const target = connect(to, '127.0.0.1')
    client.on('data', (chunk) => (bytes += chunk.length))
    client.pipe(target).pipe(client)
    for (const socket of [client, target])
      socket.on('error', () => client.destroy()).on('close', () => target.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => server.close())
  return { port: (server.address() as AddressInfo).port, bytes: () => bytes }
}
