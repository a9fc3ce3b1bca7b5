// Settings of the extension `host`.
import * as z from 'zod/mini'
import { duration } from '../schema.ts'

const DEFAULT_ENDPOINT = 'unix:///var/run/docker.sock'
const ENDPOINT = /^(?:unix:\/\/\/.+|tcp:\/\/.+)$/

/** DOCKER_HOST where it is something that we can ask (not ssh://, not npipe://). */
function dockerEndpoint(): string {
  const fromEnvironment = process.env.DOCKER_HOST ?? ''
  return ENDPOINT.test(fromEnvironment) ? fromEnvironment : DEFAULT_ENDPOINT
}

const docker = z.strictObject({
  /** A unix:// or tcp:// URL. */
  endpoint: z._default(
    z.string().check(z.regex(ENDPOINT, { error: 'expected unix:///path or tcp://host:port' })),
    dockerEndpoint,
  ),
  /** For each question. */
  timeout: z._default(duration(), 2000),
})

const systemd = z.strictObject({
  /** Leave out units that are the machine's own housekeeping: oneshot, D-Bus or timer units, getty, systemd-* … */
  skip_system_units: z._default(z.boolean(), true),
  /** For each question. */
  timeout: z._default(duration(), 2000),
})

/** Durations are milliseconds once parsed. */
export const hostSettings = z.strictObject({
  /** Where the host's root is mounted; `/host` for an agent in a container. */
  root_path: z._default(z.string().check(z.regex(/^\//, { error: 'expected an absolute path' })), '/'),
  /** Where the cgroup file systems are mounted. */
  cgroup_root: z._default(z.string().check(z.regex(/^\//, { error: 'expected an absolute path' })), '/sys/fs/cgroup'),
  /** How long an ended control group and its container are remembered, so that their last numbers find them. */
  remember: z._default(duration(), 60_000),
  /** How long a runtime is not asked again about what it did not know. */
  negative_cache: z._default(duration(), 30_000),
  docker: z._default(docker, () => docker.parse({})),
  systemd: z._default(systemd, () => systemd.parse({})),
})

export type HostSettings = z.infer<typeof hostSettings>
