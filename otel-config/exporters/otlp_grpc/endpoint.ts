// Where a server with OTLP over gRPC is, as the Collector writes it, and whether the way there is encrypted.

export type Destination = {
  /** As grpc-js takes it: `host:port`, `unix:/path`, `dns:///name:port`. */
  readonly address: string
  /** What the scheme says of encryption: https yes, http and unix no; undefined when it says nothing. */
  readonly encrypted: boolean | undefined
}

const HTTPS_PORT = '443'

/**
 * `localhost:4317`, `[::1]:4317`, `http://host:4317`, `https://host` (port 443), `dns:///host:4317`, `unix:/path`.
 * A text in words for people when it is none of these.
 */
export function parseDestination(text: string): Destination | string {
  const given = text.trim()
  if (given === '') return EXPECTED
  if (/^unix:/i.test(given)) {
    const path = given.replace(/^unix:(?:\/\/(?=\/))?/i, '')
    return path === '' ? 'expected the path of a socket after unix:, such as unix:/run/otlp.sock' : socket(path)
  }
  const [, scheme = '', rest = ''] = /^(?:(https?:\/\/|dns:\/\/\/))?(.*)$/is.exec(given) ?? []
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(rest)) return `unknown scheme: ${EXPECTED}, or https://host:port`
  const kind = scheme.toLowerCase()
  const [, authority = '', path = ''] = /^([^/]*)(.*)$/s.exec(rest) ?? []
  if (path !== '' && path !== '/') return `gRPC has no path: remove ${JSON.stringify(path)}`
  const [, host, port] = /^(\[[0-9a-f:.]+\]|[^\s:[\]@]+)(?::(\d{1,5}))?$/i.exec(authority) ?? []
  if (host === undefined) return EXPECTED
  const wanted = port ?? (kind === 'https://' ? HTTPS_PORT : undefined)
  if (wanted === undefined) return `there is no port: ${EXPECTED}`
  if (Number(wanted) < 1 || Number(wanted) > 65_535) return `port ${wanted} does not exist`
  const encrypted = kind === 'https://' ? true : kind === 'http://' ? false : undefined
  return { address: `${kind === 'dns:///' ? kind : ''}${host}:${wanted}`, encrypted }
}

const EXPECTED = 'expected host:port, such as localhost:4317'

const socket = (path: string): Destination => ({ address: `unix:${path}`, encrypted: false })
