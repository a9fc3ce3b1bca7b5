// A gRPC server that takes metrics and answers as a test tells it to: a real one for all but its will.
import { type Metadata, Metadata as newMetadata, Server, ServerCredentials, type ServiceError } from '@grpc/grpc-js'

export type Received = { readonly bytes: Buffer; readonly metadata: Metadata; readonly atMs: number }

/** A status, `hang` for no answer at all, or the bytes of a good answer. */
export type Reply = { readonly code: number; readonly message?: string; readonly details?: Buffer } | 'hang' | Buffer

export type MetricsServer = {
  readonly port: number
  readonly requests: readonly Received[]
  /** Those that were answered with a good answer. */
  readonly taken: readonly Received[]
  stop(): void
}

/** `reply` is asked for each request, with its number from 0. Port 0 takes a free one. */
export async function serveMetrics(reply: (at: number) => Reply, port = 0): Promise<MetricsServer> {
  const requests: Received[] = []
  const taken: Received[] = []
  const asIs = (bytes: Buffer) => bytes
  const server = new Server({ 'grpc.max_receive_message_length': 4 * 2 ** 20 })
  const method = {
    path: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  } as const
  server.addService(
    { Export: method },
    {
      Export(
        call: { request: Buffer; metadata: Metadata },
        done: (error: Partial<ServiceError> | null, answer?: Buffer) => void,
      ) {
        const received = { bytes: call.request, metadata: call.metadata, atMs: performance.now() }
        requests.push(received)
        const answer = reply(requests.length - 1)
        if (answer === 'hang') return
        if (Buffer.isBuffer(answer)) {
          taken.push(received)
          done(null, answer)
          return
        }
        const metadata = new newMetadata()
        if (answer.details !== undefined) metadata.set('grpc-status-details-bin', answer.details)
        done({ code: answer.code, details: answer.message ?? 'as told', metadata })
      },
    },
  )
  const bound = await new Promise<number>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure()
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, at) => (error ? reject(error) : resolve(at)))
  })
  return { port: bound, requests, taken, stop: () => server.forceShutdown() }
}

export const TAKEN = Buffer.alloc(0)

const message = (field: number, bytes: Uint8Array) =>
  Buffer.concat([Buffer.from([(field << 3) | 2, bytes.length]), bytes])

/** google.rpc.Status with a RetryInfo, by hand from google/rpc/{status,error_details}.proto. */
export function retryInfo(seconds: number, nanos = 0): Buffer {
  const varint = (value: number) => {
    const bytes: number[] = []
    let left = value
    for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128)
    return Buffer.from([...bytes, left])
  }
  const duration = Buffer.concat([Buffer.from([1 << 3]), varint(seconds), Buffer.from([2 << 3]), varint(nanos)])
  const any = Buffer.concat([
    message(1, Buffer.from('type.googleapis.com/google.rpc.RetryInfo')),
    message(2, message(1, duration)),
  ])
  return Buffer.concat([Buffer.from([1 << 3, 8]), message(2, Buffer.from('slow down')), message(3, any)])
}
