// The HTTP server before a Prometheus page. The SDK's own neither compresses, nor merges concurrent scrapes,
// nor ends one that hangs, and answers 200 when collecting failed.
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'
import { constants, gzip } from 'node:zlib'
import type { Endpoint } from '../endpoint.ts'

// An import of node:http costs an ECMAScript module 10 MB, because its facade touches WebSocket.
const { createServer } = process.getBuiltinModule('node:http')
const compress = promisify(gzip)

/** Prometheus' text format 0.0.4 (prometheus.io, exposition formats). */
const TEXT = 'text/plain; version=0.0.4; charset=utf-8'
const PLAIN = 'text/plain; charset=utf-8'
const MAX_CONNECTIONS = 128
/** How often Node looks for connections that are late with their request. Its own 30 s would let them hold all of ours. */
const CHECK_EVERY_MS = 2_000

export type PageOptions = {
  readonly endpoint: Endpoint
  /** Called once for all scrapes that come while it runs. */
  readonly page: () => Promise<string>
  /** Scrapes that take longer are answered with 503. In milliseconds. */
  readonly timeoutMs: number
  readonly onFailure: (error: Error) => void
  readonly onSuccess: () => void
}

export type PageServer = { readonly port: number; close(): Promise<void> }

const acceptsGzip = ({ headers }: IncomingMessage) =>
  /(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+)?\s*(?:,|$)/i.test(
    String(headers['accept-encoding'] ?? ''),
  )

/** A request may name the whole address, `GET http://host:9464/metrics` (RFC 9112 §3.2.2). */
const pathOf = ({ url = '' }: IncomingMessage) => url.replace(/^https?:\/\/[^/?]*/i, '').split('?', 1)[0]

/** Of the scraper's patience, what is left to send the page in: as much as blackbox_exporter leaves. */
const SENDING_MS = 500

/**
 * How long who asks will wait for us to collect: Prometheus and the Collector say so in seconds. What comes later is
 * thrown away, and counts as a target that is down; a 503 in time tells why.
 */
export function patienceMs({ headers }: Pick<IncomingMessage, 'headers'>): number {
  const seconds = Number(headers['x-prometheus-scrape-timeout-seconds'] || Number.NaN)
  if (!Number.isFinite(seconds) || seconds <= 0) return Number.POSITIVE_INFINITY
  const ms = seconds * 1000
  return Math.max(ms - SENDING_MS, ms / 2)
}

const within = async <T>(promise: Promise<T>, ms: number): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not collected within ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Rejects, with a remedy, when it cannot listen there. */
export async function servePage({ endpoint, page, timeoutMs, onFailure, onSuccess }: PageOptions): Promise<PageServer> {
  let current: Promise<Buffer> | undefined
  let compressed: Promise<Buffer> | undefined

  function body(zipped: boolean): Promise<Buffer> {
    if (current === undefined) {
      const own = page().then((text) => Buffer.from(text))
      current = own
      compressed = undefined
      const over = () => {
        if (current === own) current = undefined
      }
      own.then(over, over)
    }
    if (!zipped) return current
    compressed ??= current.then((text) => compress(text, { level: constants.Z_BEST_SPEED }))
    return compressed
  }

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    text: string | Buffer,
    headers = {},
  ) {
    // The page is shared by all who asked for it at the same time: a copy for each would be theirs to multiply.
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    response.writeHead(status, { 'Content-Type': PLAIN, 'Content-Length': bytes.length, ...headers })
    response.end(request.method === 'HEAD' ? undefined : bytes)
  }

  /** Connections with an answer under way. */
  const busy = new WeakSet<Socket>()

  /**
   * One request at a time on a connection. Who sends many without reading would have us keep all their answers; nobody
   * who scrapes does (RFC 9112 §9.3.2: a connection that closes is tried again, one by one).
   */
  function take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    if (busy.has(socket)) {
      socket.destroy()
      return
    }
    busy.add(socket)
    response.once('close', () => busy.delete(socket))
    void respond(request, response)
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = pathOf(request)
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return answer(request, response, 405, 'only GET and HEAD\n', { Allow: 'GET, HEAD' })
    }
    if (path === '/') return answer(request, response, 200, 'leadline\n\nmetrics: /metrics\n')
    if (path !== '/metrics') return answer(request, response, 404, 'not here; metrics are at /metrics\n')
    try {
      const zipped = acceptsGzip(request)
      const bytes = await within(body(zipped), Math.min(timeoutMs, patienceMs(request)))
      answer(request, response, 200, bytes, {
        'Content-Type': TEXT,
        Vary: 'Accept-Encoding',
        ...(zipped ? { 'Content-Encoding': 'gzip' } : {}),
      })
      onSuccess()
    } catch (error) {
      onFailure(error as Error)
      answer(request, response, 503, `no metrics: ${(error as Error).message}\n`)
    }
  }

  const server: Server = createServer({
    requestTimeout: 10_000,
    headersTimeout: 5_000,
    keepAliveTimeout: 75_000,
    connectionsCheckingInterval: CHECK_EVERY_MS,
  })
  server.maxConnections = MAX_CONNECTIONS
  // Whoever reads slower than this has the kernel's buffers to drain, not our memory.
  server.setTimeout(Math.max(30_000, timeoutMs * 2))
  server.on('request', take)
  await listen(server, endpoint)
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : endpoint.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there already: stop it, or choose another port',
  EACCES: 'ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'no such host name',
}

function listen(server: Server, { host, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const remedy = REMEDIES[error.code ?? ''] ?? error.message
      reject(new Error(`cannot listen on ${host}:${port}: ${remedy} (setting: endpoint)`, { cause: error }))
    })
    server.listen({ host, port }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}
