// What `conntrack -L` says in a namespace of the test's own: who answers each connection that was translated. There it
// keeps what is over for ten minutes, where the kernel's default is ten seconds after a reset.
import type { Namespace } from './network.ts'

/** From now on. */
export function keepConntrack({ run }: Namespace): void {
  run('sysctl', '-qw', ...['close', 'time_wait'].map((state) => `net.netfilter.nf_conntrack_tcp_timeout_${state}=600`))
}

/** Connections by who answers, `10.77.2.2:8080`. A tuple that came again is there once. */
export function listedByConntrack({ run }: Namespace): Record<string, number> {
  const script = `conntrack -L -p tcp --dst-nat 2>/dev/null | sed -E 's/.* src=([^ ]+) dst=[^ ]+ sport=([0-9]+) .*/\\1:\\2/' | sort | uniq -c`
  return Object.fromEntries(
    [...run('sh', '-c', script).matchAll(/(\d+) (\S+)/g)].map(([, count, answers = '']) => [answers, Number(count)]),
  )
}
