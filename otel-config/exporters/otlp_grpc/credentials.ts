// TLS for the way to the server. Files are read for each new connection, so that renewed certificates are taken up.
import { readFileSync } from 'node:fs'
import { createSecureContext, getCACertificates } from 'node:tls'
import { type ChannelCredentials, credentials } from '@grpc/grpc-js'
import { parseDestination } from './endpoint.ts'
import type { Settings } from './settings.ts'

/** Throws, with the setting and a remedy, when a file cannot be read or holds no certificate. */
export function channelCredentials({ endpoint, tls }: Settings): ChannelCredentials {
  const destination = parseDestination(endpoint)
  const encrypted = typeof destination === 'object' ? destination.encrypted : undefined
  if (encrypted === false || (encrypted === undefined && tls.insecure)) return credentials.createInsecure()

  const ca = pem(tls.ca_file, tls.ca_pem, 'ca_file')
  const cert = pem(tls.cert_file, tls.cert_pem, 'cert_file')
  const key = pem(tls.key_file, tls.key_pem, 'key_file')
  const system = ca === undefined || tls.include_system_ca_certs_pool ? systemCertificates() : []
  const made = credentials.createFromSecureContext(secureContext(), { rejectUnauthorized: !tls.insecure_skip_verify })
  return tls.server_name_override === undefined ? made : withServerName(made, tls.server_name_override)

  function secureContext() {
    try {
      return createSecureContext({
        ca: ca === undefined ? system : [...system, ca],
        minVersion: tls.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
        ...(cert !== undefined && { cert }),
        ...(key !== undefined && { key }),
      })
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new Error(
        `tls: certificate and key cannot be used: ${reason} · fix: both in PEM, and made for each other`,
        {
          cause,
        },
      )
    }
  }
}

/**
 * The name goes into the handshake, by which gateways choose whom they lead to, and the certificate has to carry it.
 * grpc-js takes it as an option of the channel, which the SDK does not pass on.
 */
function withServerName(made: ChannelCredentials, name: string): ChannelCredentials {
  const connector = made._createSecureConnector.bind(made)
  made._createSecureConnector = (target, options, call) =>
    connector(target, { ...options, 'grpc.ssl_target_name_override': name }, call)
  return made
}

/** As Go programs have it: what the machine trusts. What Node brings along only where the machine has nothing. */
function systemCertificates(): string[] {
  const system = getCACertificates('system')
  return system.length > 0 ? system : getCACertificates('bundled')
}

function pem(file: string | undefined, text: string | undefined, setting: string): string | undefined {
  if (file === undefined) return text
  try {
    const found = readFileSync(file, 'utf8')
    if (/-----BEGIN [A-Z ]+-----/.test(found)) return found
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'it may not be read' : String(cause)
    throw new Error(`tls::${setting}: ${file}: ${reason} · fix: correct the path, as seen from the agent`, { cause })
  }
  throw new Error(`tls::${setting}: ${file}: holds no PEM · fix: convert it, it has to begin with -----BEGIN`)
}
