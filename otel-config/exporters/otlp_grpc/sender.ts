// Sends single requests through the SDK's gRPC exporter, and tells what became of them. The SDK neither retries nor
// queues; and its channel, when it cannot connect, waits longer and longer, up to two minutes. So after a lost
// connection we begin anew with another channel, at our own pace.
import type { ExportResult } from '@opentelemetry/core'
import type { IOtlpExportDelegate } from '@opentelemetry/otlp-exporter-base'
import { createEmptyMetadata, createOtlpGrpcExportDelegate } from '@opentelemetry/otlp-grpc-exporter-base'
import { type IExportMetricsServiceResponse, ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { channelCredentials } from './credentials.ts'
import { parseDestination } from './endpoint.ts'
import { type Failure, failureOf } from './outcome.ts'
import type { ExportRequest } from './requests.ts'
import type { Settings } from './settings.ts'

/** Undefined when it arrived, and all of it was taken. */
export type Answer = {
  readonly failure?: Failure
  readonly rejected?: { readonly points: number; readonly why: string }
}

export interface Sender {
  /** Never rejects. At most 30 at once. */
  send(request: ExportRequest): Promise<Answer>
  /** Lets requests under way end, and closes the connection. */
  close(): Promise<void>
}

const SERVICE = 'MetricsExportService'
const METHOD = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const COUNTED = { name: 'metric_data_point', countItems: (request: ExportRequest) => request.points } as const
/** What the SDK allows at once. We never come near: that is sending_queue::num_consumers. */
const CONCURRENCY = 30

/** Throws, with a remedy, when certificates or headers cannot be used. Connects to nothing yet. */
export function createSender(settings: Settings, userAgent: string): Sender {
  const destination = parseDestination(settings.endpoint)
  if (typeof destination === 'string') throw new Error(destination)
  const { address } = destination
  const { ca_file, cert_file, key_file } = settings.tls
  const isRenewable = (ca_file ?? cert_file ?? key_file) !== undefined
  let credentials = channelCredentials(settings)
  let rejected: Answer['rejected']
  let delegate: IOtlpExportDelegate<ExportRequest> | undefined = connect()

  // The serializer writes nothing itself: pieces are serialised when a request is put together.
  function connect(): IOtlpExportDelegate<ExportRequest> {
    const metadata = createEmptyMetadata()
    for (const [name, value] of Object.entries(settings.headers)) metadata.set(name, value)
    const own = credentials
    return createOtlpGrpcExportDelegate<ExportRequest, IExportMetricsServiceResponse>(
      {
        url: address,
        compression: settings.compression === 'gzip' ? 'gzip' : 'none',
        timeoutMillis: settings.timeout,
        concurrencyLimit: CONCURRENCY,
        credentials: () => own,
        metadata: () => metadata,
        userAgent,
      } as Parameters<typeof createOtlpGrpcExportDelegate>[0],
      {
        serializeRequest: ({ pieces, bytes }) => Buffer.concat(pieces, bytes),
        deserializeResponse(bytes) {
          const response = ProtobufMetricsSerializer.deserializeResponse(bytes)
          const { rejectedDataPoints = 0, errorMessage = '' } = response.partialSuccess ?? {}
          if (rejectedDataPoints > 0) rejected = { points: rejectedDataPoints, why: errorMessage }
          // Told by us: the SDK would write it into a log that nobody reads.
          return {}
        },
      },
      'otlp_grpc_metric_exporter',
      COUNTED,
      undefined,
      SERVICE,
      METHOD,
    )
  }

  /** Those under way are waited for. */
  async function disconnect(old: IOtlpExportDelegate<ExportRequest>) {
    if (delegate === old) delegate = undefined
    await old.shutdown().catch(() => undefined)
  }

  return {
    async send(request) {
      try {
        if (delegate === undefined && isRenewable) credentials = channelCredentials(settings)
        delegate ??= connect()
        const current = delegate
        const { answer, result } = await new Promise<{ answer: Answer; result: ExportResult }>((resolve) => {
          rejected = undefined
          // The SDK reads the response and reports the result in one go, so what was rejected belongs to this request.
          current.export(request, (result) => {
            resolve({ result, answer: rejected === undefined ? {} : { rejected } })
            rejected = undefined
          })
        })
        if (result.error === undefined && result.code === 0) return answer
        const failure = failureOf(result.error ?? new Error('the SDK does not say why'), address)
        if (failure.disconnected) void disconnect(current)
        return { failure }
      } catch (error) {
        // A certificate that was there at the start and is not any more may come back.
        const { message } = error as Error
        return { failure: { ...failureOf(error as Error, address), message, retryable: true } }
      }
    },
    async close() {
      if (delegate !== undefined) await disconnect(delegate)
    },
  }
}
