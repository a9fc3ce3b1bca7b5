// What a failed call means: whether trying again can help, when, and what a person can do about it.
// Source: OTLP specification, "Failures" (gRPC); gRPC status codes; google/rpc/{status,error_details}.proto.

/** Numbers of grpc.status, so that nobody has to load grpc-js to read them. */
export const GRPC = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

/** RESOURCE_EXHAUSTED only where the server says when to come back. */
const RETRYABLE: ReadonlySet<number> = new Set([
  GRPC.CANCELLED,
  GRPC.DEADLINE_EXCEEDED,
  GRPC.ABORTED,
  GRPC.OUT_OF_RANGE,
  GRPC.UNAVAILABLE,
  GRPC.DATA_LOSS,
])

export type Failure = {
  readonly message: string
  readonly remedy: string
  /** Trying again may help. */
  readonly retryable: boolean
  /** The server asked for this much patience. */
  readonly retryAfterMs: number | undefined
  /** There was no connection, or it ended. */
  readonly disconnected: boolean
}

type ServiceError = Error & {
  readonly code?: unknown
  readonly details?: unknown
  readonly metadata?: { get(key: string): readonly (string | Uint8Array)[] }
}

/** `address` is for the remedy only. */
export function failureOf(error: ServiceError, address: string): Failure {
  const code = typeof error.code === 'number' ? error.code : undefined
  const retryAfterMs = retryDelayOf(error)
  const retryable =
    code !== undefined && (RETRYABLE.has(code) || (code === GRPC.RESOURCE_EXHAUSTED && retryAfterMs !== undefined))
  return {
    message: error.message,
    remedy: remedyFor(code, error.message, address),
    retryable,
    retryAfterMs: retryable ? retryAfterMs : undefined,
    disconnected: code === GRPC.UNAVAILABLE,
  }
}

function remedyFor(code: number | undefined, message: string, address: string): string {
  if (/wrong version number|packet length too long|unsupported protocol/i.test(message)) {
    return `what listens on ${address} does not speak TLS: set tls::insecure to true, or give it a certificate`
  }
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/i.test(message)) {
    return `${address} has no address: check endpoint, and this machine's DNS`
  }
  if (/altname|Hostname\/IP does not match/i.test(message)) {
    return "the server's certificate is for another name: set tls::server_name_override, or correct endpoint"
  }
  if (/self[- ]signed|unable to (?:get local issuer|verify)|issuer certificate/i.test(message)) {
    return "the server's certificate is not trusted here: set tls::ca_file to the authority that signed it"
  }
  if (/certificate has expired|not yet valid/i.test(message)) {
    return "renew the server's certificate, and check the clocks of both machines"
  }
  if (/certificate required|bad certificate|unknown ca|handshake failure/i.test(message)) {
    return 'the server wants to know who we are: set tls::cert_file and tls::key_file to what its authority signed'
  }
  if (/larger than max/i.test(message)) {
    return 'raise max_recv_msg_size_mib of the otlp receiver to 4 or more, or set sending_queue::batch::max_size lower'
  }
  switch (code) {
    case GRPC.UNAVAILABLE:
      return `is there a Collector whose otlp receiver listens for gRPC on ${address}, and is tls as it expects? (port 4318 is OTLP over HTTP, which is something else)`
    case GRPC.DEADLINE_EXCEEDED:
      return `${address} did not answer in time: is it overloaded? Otherwise set timeout higher`
    case GRPC.RESOURCE_EXHAUSTED:
      return 'the server refuses for want of room: give it more, or send less (collection_interval)'
    case GRPC.UNIMPLEMENTED:
      return `what listens on ${address} takes no metrics by OTLP: add the otlp receiver to a metrics pipeline there`
    case GRPC.UNAUTHENTICATED:
    case GRPC.PERMISSION_DENIED:
      return 'check the token in headers'
    default:
      return `look into the log of what listens on ${address}`
  }
}

const STATUS_DETAILS = 'grpc-status-details-bin'
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

/** google.rpc.Status { details: 3 } → Any { type_url: 1, value: 2 } → RetryInfo { retry_delay: 1 }. Milliseconds. */
function retryDelayOf({ metadata }: ServiceError): number | undefined {
  const [status] = metadata?.get(STATUS_DETAILS) ?? []
  if (!(status instanceof Uint8Array)) return undefined
  for (const any of fieldsOf(status).filter(({ field }) => field === 3)) {
    const inside = fieldsOf(any.bytes)
    const type = inside.find(({ field }) => field === 1)
    if (type === undefined || Buffer.from(type.bytes).toString() !== RETRY_INFO) continue
    const info = fieldsOf(inside.find(({ field }) => field === 2)?.bytes ?? new Uint8Array())
    const delay = fieldsOf(info.find(({ field }) => field === 1)?.bytes ?? new Uint8Array())
    const seconds = delay.find(({ field }) => field === 1)?.number ?? 0
    const nanos = delay.find(({ field }) => field === 2)?.number ?? 0
    return Math.max(0, seconds * 1000 + nanos / 1e6)
  }
  return undefined
}

type Field = { readonly field: number; readonly bytes: Uint8Array; readonly number: number }

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
const FIXED32 = 5

/** The fields of a protobuf message as far as it can be read. Source: protobuf.dev, Encoding. */
function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = []
  const empty = new Uint8Array()
  let at = 0

  function varint(): number {
    let value = 0
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    return Number.NaN
  }

  while (at < message.length) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    switch (tag % 8) {
      case VARINT:
        fields.push({ field, bytes: empty, number: varint() })
        break
      case LENGTH_DELIMITED: {
        const length = varint()
        if (!(at + length <= message.length)) return fields
        fields.push({ field, bytes: message.subarray(at, at + length), number: 0 })
        at += length
        break
      }
      case FIXED64:
        at += 8
        break
      case FIXED32:
        at += 4
        break
      default:
        return fields
    }
  }
  return fields
}
