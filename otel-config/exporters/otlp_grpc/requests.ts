// Rows of the table as ExportMetricsServiceRequests. The message is one repeated field of ResourceMetrics, so requests
// that the SDK serialised, one per Resource, make one valid request when they are laid end to end.
// Source: opentelemetry-proto, collector/metrics/v1/metrics_service.proto.
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { Resource } from '../../../processors/processor.ts'
import { resourceMetricsOf } from '../../../processors/producer.ts'
import type { UndeliveredRow } from '../../../processors/table.ts'

export type ExportRequest = {
  /** Serialised requests, to be laid end to end. */
  readonly pieces: readonly Uint8Array[]
  readonly bytes: number
  readonly points: number
  /** Of the table; points of our own telemetry have none. */
  readonly slots: readonly number[]
}

export type Limits = { readonly maxBytes: number; readonly maxPoints: number }

/** Serialised at once: long enough that a Resource is rarely repeated, short enough that nothing else has to wait. */
const PIECE_POINTS = 1000

type Piece = { readonly bytes: Uint8Array; readonly points: number; readonly slots: readonly number[] }

/**
 * One request after the other, each serialised when it is asked for. A container's rows stand together; only those that
 * fill a request by themselves are split. `tooBig` is told of points that fit no request.
 */
export function* requestsOf(
  rows: Iterable<UndeliveredRow>,
  own: ResourceMetrics | undefined,
  { maxBytes, maxPoints }: Limits,
  version: string,
  tooBig: (slots: readonly number[], points: number) => void,
): Generator<ExportRequest> {
  let pieces: Piece[] = []
  let bytes = 0
  let points = 0
  const request = (): ExportRequest => ({
    pieces: pieces.map((piece) => piece.bytes),
    bytes,
    points,
    slots: pieces.flatMap((piece) => piece.slots),
  })
  for (const piece of piecesOf(rows, own, Math.min(PIECE_POINTS, maxPoints), maxBytes, version)) {
    if (piece.bytes.length > maxBytes) {
      tooBig(piece.slots, piece.points)
      continue
    }
    if (points > 0 && (bytes + piece.bytes.length > maxBytes || points + piece.points > maxPoints)) {
      yield request()
      pieces = []
      bytes = 0
      points = 0
    }
    pieces.push(piece)
    bytes += piece.bytes.length
    points += piece.points
  }
  if (points > 0) yield request()
}

function* piecesOf(
  rows: Iterable<UndeliveredRow>,
  own: ResourceMetrics | undefined,
  maxPoints: number,
  maxBytes: number,
  version: string,
): Generator<Piece> {
  const ownPoints = own === undefined ? 0 : pointsOf(own)
  if (own !== undefined && ownPoints > 0) yield { bytes: serialize(own), points: ownPoints, slots: [] }
  const byResource = new Map<Resource, UndeliveredRow[]>()
  for (const row of rows) {
    const group = byResource.get(row.resource)
    if (group === undefined) byResource.set(row.resource, [row])
    else group.push(row)
  }
  for (const [resource, group] of byResource) {
    byResource.delete(resource)
    for (let at = 0; at < group.length; at += maxPoints) {
      yield* smallEnough(group.slice(at, at + maxPoints), maxBytes, version)
    }
  }
}

/** In halves, as long as that makes it fit. */
function* smallEnough(rows: readonly UndeliveredRow[], maxBytes: number, version: string): Generator<Piece> {
  const [metrics] = resourceMetricsOf(rows, { version })
  if (metrics === undefined) return
  const bytes = serialize(metrics)
  if (bytes.length <= maxBytes || rows.length === 1) {
    yield { bytes, points: rows.length, slots: rows.map(({ slot }) => slot) }
    return
  }
  const half = rows.length >> 1
  yield* smallEnough(rows.slice(0, half), maxBytes, version)
  yield* smallEnough(rows.slice(half), maxBytes, version)
}

function serialize(metrics: ResourceMetrics): Uint8Array {
  const bytes = ProtobufMetricsSerializer.serializeRequest(metrics)
  if (bytes === undefined) throw new Error('the SDK could not serialise a request')
  return bytes
}

const pointsOf = ({ scopeMetrics }: ResourceMetrics) =>
  scopeMetrics.reduce(
    (sum, { metrics }) => sum + metrics.reduce((all, { dataPoints }) => all + dataPoints.length, 0),
    0,
  )
