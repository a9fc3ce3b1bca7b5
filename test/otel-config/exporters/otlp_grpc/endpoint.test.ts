// Every way in which people write where a server is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDestination } from '../../../../otel-config/exporters/otlp_grpc/endpoint.ts'

const FINE: readonly (readonly [string, address: string, encrypted: boolean | undefined])[] = [
  ['localhost:4317', 'localhost:4317', undefined],
  [' collector.observability.svc:4317 ', 'collector.observability.svc:4317', undefined],
  ['10.0.0.1:4317', '10.0.0.1:4317', undefined],
  ['[::1]:4317', '[::1]:4317', undefined],
  ['http://localhost:4317', 'localhost:4317', false],
  ['http://localhost:4317/', 'localhost:4317', false],
  ['https://api.example.com:8443', 'api.example.com:8443', true],
  ['HTTPS://api.example.com', 'api.example.com:443', true],
  ['dns:///collector:4317', 'dns:///collector:4317', undefined],
  ['unix:/run/otlp.sock', 'unix:/run/otlp.sock', false],
  ['unix:///run/otlp.sock', 'unix:/run/otlp.sock', false],
  ['unix:otlp.sock', 'unix:otlp.sock', false],
]

for (const [text, address, encrypted] of FINE) {
  test(`${JSON.stringify(text)} is a destination`, () => {
    assert.deepEqual(parseDestination(text), { address, encrypted })
  })
}

const HOST_PORT = 'expected host:port, such as localhost:4317'
const WRONG: readonly (readonly [string, string])[] = [
  ['', HOST_PORT],
  ['localhost', `there is no port: ${HOST_PORT}`],
  ['http://localhost', `there is no port: ${HOST_PORT}`],
  ['localhost:', HOST_PORT],
  [':4317', HOST_PORT],
  ['localhost:grpc', HOST_PORT],
  ['localhost:0', 'port 0 does not exist'],
  ['localhost:65536', 'port 65536 does not exist'],
  ['::1:4317', HOST_PORT],
  ['user@host:4317', HOST_PORT],
  ['http://localhost:4318/v1/metrics', 'gRPC has no path: remove "/v1/metrics"'],
  ['localhost:4317/x', 'gRPC has no path: remove "/x"'],
  ['grpc://localhost:4317', `unknown scheme: ${HOST_PORT}, or https://host:port`],
  ['unix:', 'expected the path of a socket after unix:, such as unix:/run/otlp.sock'],
]

for (const [text, said] of WRONG) {
  test(`${JSON.stringify(text)} is none`, () => {
    assert.equal(parseDestination(text), said)
  })
}
