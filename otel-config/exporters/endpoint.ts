// Where a server listens: `host:port`, as the Collector writes it.
import * as z from 'zod/mini'

export type Endpoint = { readonly host: string; readonly port: number }

/** `localhost:9464`, `[::1]:9464`, `0.0.0.0:9464`; undefined when it is neither. Port 0 takes a free one. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, six, name, port = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(text) ?? []
  const host = six ?? name
  if (host === undefined || Number(port) > 65_535) return undefined
  // As in Go, no host is all addresses.
  return { host: host === '' ? '::' : host, port: Number(port) }
}

export const endpoint = (standard: string): z.ZodMiniType<string> =>
  z._default(
    z.string({ error: `expected host:port, such as ${standard}` }).check(
      z.refine((text) => parseEndpoint(text) !== undefined, {
        error: (issue) => `expected host:port, such as ${standard}, got ${JSON.stringify(issue.input)}`,
      }),
    ),
    standard,
  )
