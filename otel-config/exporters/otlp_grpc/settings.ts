// What can be set, under the Collector's keys (config/configgrpc, configtls and exporterhelper).
import * as z from 'zod/mini'
import { duration, secret } from '../../../receivers/schema.ts'
import { parseDestination } from './endpoint.ts'

/** A Collector with default settings takes messages up to 4 MiB, unpacked; this leaves room for gRPC's own. */
export const MAX_REQUEST_BYTES = 4_000_000
export const MAX_REQUEST_POINTS = 5000
/** What series of the dead may take while the other side is away, unless the queue is given another size in bytes. */
export const MAX_QUEUE_BYTES = 64 * 2 ** 20

const POSITIVE = 'requires positive value'
const positiveDuration = (standardMs: number) =>
  z._default(z.pipe(duration(), z.number().check(z.gt(0, POSITIVE))), standardMs)
const notNegativeDuration = (standardMs: number) =>
  z._default(z.pipe(duration(), z.number().check(z.gte(0, `${POSITIVE} or 0`))), standardMs)
const unsupported = (error: string) => z.optional(z.never({ error }))
/** Accepted so that a Collector's block can be pasted. Said at the start. */
const noEffect = () => z.optional(z.unknown())

const endpoint = z
  .string({
    error: ({ input }) => `${input === undefined ? 'is required: ' : ''}expected host:port, such as localhost:4317`,
  })
  .check(
    z.refine((text) => typeof parseDestination(text) !== 'string', {
      error: ({ input }) => `${parseDestination(String(input))}, got ${JSON.stringify(input)}`,
    }),
  )

const tls = z.strictObject({
  /** Plain text instead of TLS. */
  insecure: z._default(z.boolean(), false),
  /** TLS, but whoever answers is believed. */
  insecure_skip_verify: z._default(z.boolean(), false),
  /** Certificates that are trusted instead of the system's. PEM. */
  ca_file: z.optional(z.string()),
  ca_pem: z.optional(secret()),
  /** Trusts the system's as well. */
  include_system_ca_certs_pool: z._default(z.boolean(), false),
  /** Who we are, where the server asks. Read again with each new connection. */
  cert_file: z.optional(z.string()),
  cert_pem: z.optional(secret()),
  key_file: z.optional(z.string()),
  key_pem: z.optional(secret()),
  /** The name that the server's certificate has to carry, when it is not that of the endpoint. */
  server_name_override: z.optional(z.string()),
  min_version: z._default(z.enum(['1.2', '1.3']), '1.2'),
  reload_interval: noEffect(),
})

const NAME = /^[0-9a-z_.-]+$/i
const headers = z.record(z.string(), secret()).check(
  z.superRefine((given, context) => {
    for (const [name, value] of Object.entries(given)) {
      const message = !NAME.test(name)
        ? 'is no name for a header: letters, digits, _ . - only'
        : name.toLowerCase().endsWith('-bin')
          ? 'headers that end in -bin carry bytes, which cannot be written here'
          : /^[ -~]*$/.test(value)
            ? undefined
            : 'has characters that a header cannot carry: printable ASCII only'
      if (message !== undefined) context.addIssue({ code: 'custom', message, path: [name], input: '' })
    }
  }),
)

const queue = z.strictObject({
  /** Without it nothing waits: what cannot be sent at once is dropped. */
  enabled: z._default(z.boolean(), true),
  /** Requests under way at the same time. */
  num_consumers: z._default(z.int().check(z.gte(1), z.lte(30)), 2),
  /** In units of `sizer`. 64 MiB when there is neither. */
  queue_size: z.optional(z.int().check(z.gt(0, POSITIVE))),
  /** `requests` as in the Collector, when there is a queue_size. One is 5000 points at most. */
  sizer: z.optional(z.enum(['bytes', 'items', 'requests'])),
  batch: z.prefault(
    z.strictObject({
      /** Receivers that are collected within this time share a request. */
      flush_timeout: notNegativeDuration(200),
      /** Points in one request. */
      max_size: z._default(z.int().check(z.gte(1), z.lte(MAX_REQUEST_POINTS)), MAX_REQUEST_POINTS),
      min_size: noEffect(),
      sizer: noEffect(),
      partition: noEffect(),
    }),
    {},
  ),
  storage: unsupported('is not supported: what waits is kept in memory, newest values only. Remove it'),
  block_on_overflow: noEffect(),
  wait_for_result: noEffect(),
})

const retry = z
  .strictObject({
    enabled: z._default(z.boolean(), true),
    initial_interval: positiveDuration(5000),
    randomization_factor: z._default(z.number().check(z.gte(0), z.lte(1)), 0.5),
    multiplier: z._default(z.number().check(z.gte(1)), 1.5),
    max_interval: positiveDuration(30_000),
    /**
     * After this the values that wait are given up. 0: never, because only the newest of each series waits, in bounded
     * memory.
     */
    max_elapsed_time: notNegativeDuration(0),
  })
  .check(
    z.refine(({ max_elapsed_time: most, max_interval: longest }) => most === 0 || most >= longest, {
      path: ['max_elapsed_time'],
      error: 'must not be less than max_interval; 0 is never',
    }),
  )

export const settings = z
  .strictObject({
    /** `host:port`, `https://host:port`, `http://host:port` without TLS, or `unix:/path`. */
    endpoint,
    tls: z.prefault(tls, {}),
    /** Sent with each request: `authorization: Bearer ${env:TOKEN}`. */
    headers: z._default(headers, {}),
    compression: z._default(
      z.enum(['gzip', 'none', ''], {
        error: ({ input }) =>
          `expected gzip or none, got ${JSON.stringify(input)} (the SDK's gRPC transport has no more)`,
      }),
      'gzip',
    ),
    /** Of one request. */
    timeout: positiveDuration(5000),
    sending_queue: z.prefault(queue, {}),
    retry_on_failure: z.prefault(retry, {}),
    /** How long a container's last values are kept after it ended and they were delivered. */
    metric_expiration: positiveDuration(300_000),
    auth: unsupported('is not supported: write the token into headers, as authorization: Bearer and the token'),
    keepalive: noEffect(),
    balancer_name: noEffect(),
    wait_for_ready: noEffect(),
    authority: noEffect(),
    write_buffer_size: noEffect(),
    read_buffer_size: noEffect(),
  })
  .check(
    z.superRefine(({ endpoint: text, tls: given }, context) => {
      const complain = (key: string, message: string) =>
        context.addIssue({ code: 'custom', message, path: ['tls', key], input: '' })
      const destination = parseDestination(text)
      const isPlain = typeof destination === 'object' && destination.encrypted === false
      for (const key of ['ca', 'cert', 'key'] as const) {
        const file = given[`${key}_file`] !== undefined
        const pem = given[`${key}_pem`] !== undefined
        if (file && pem) complain(`${key}_pem`, `there is ${key}_file as well: keep one of them`)
        if (!file && !pem) continue
        const name = `${key}_${file ? 'file' : 'pem'}`
        if (isPlain) complain(name, `has no effect: ${text} is not encrypted. Write https://, or remove it`)
        else if (given.insecure) complain(name, 'has no effect: insecure is true. Remove one of them')
      }
      const hasCert = given.cert_file !== undefined || given.cert_pem !== undefined
      const hasKey = given.key_file !== undefined || given.key_pem !== undefined
      if (hasCert && !hasKey) complain(given.cert_file ? 'cert_file' : 'cert_pem', 'needs its key: add key_file')
      if (hasKey && !hasCert) complain(given.key_file ? 'key_file' : 'key_pem', 'needs its certificate: add cert_file')
    }),
  )

export type Settings = z.infer<typeof settings>

/** Keys in use that change nothing here, as paths. */
export function withoutEffect(given: Settings): string[] {
  const at = (prefix: string, part: object, keys: readonly string[]) =>
    keys.filter((key) => (part as Record<string, unknown>)[key] !== undefined).map((key) => `${prefix}${key}`)
  return [
    ...at('', given, [
      'keepalive',
      'balancer_name',
      'wait_for_ready',
      'authority',
      'write_buffer_size',
      'read_buffer_size',
    ]),
    ...at('tls::', given.tls, ['reload_interval']),
    ...at('sending_queue::', given.sending_queue, ['block_on_overflow', 'wait_for_result']),
    ...at('sending_queue::batch::', given.sending_queue.batch, ['min_size', 'sizer', 'partition']),
  ]
}

/** What may wait, in points of about `bytesPerPoint`. */
export function queuePoints({ enabled, queue_size: size, sizer }: Settings['sending_queue'], bytesPerPoint: number) {
  if (!enabled) return 0
  const inBytes = MAX_QUEUE_BYTES / bytesPerPoint
  if (size === undefined) return inBytes
  if (sizer === 'bytes') return size / bytesPerPoint
  return Math.min(inBytes, sizer === 'items' ? size : size * MAX_REQUEST_POINTS)
}

/** The same in bytes, which is what the queue's size and capacity are told in. */
export const queueBytes = (queue: Settings['sending_queue'], bytesPerPoint: number) =>
  Math.round(queuePoints(queue, bytesPerPoint) * bytesPerPoint)
