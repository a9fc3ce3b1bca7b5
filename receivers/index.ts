// Every receiver there is. A new one is its folder, its test and a line here.
import cgroup from './cgroup/index.ts'
import containerLogs from './container_logs/index.ts'
import delayAccounting from './delay_accounting/index.ts'
import icmpLatency from './icmp_latency/index.ts'
import node from './node/index.ts'
import type { ReceiverDefinition } from './receiver.ts'
import tcpConnections from './tcp_connections/index.ts'

// Each knows its own configuration and names; whoever holds the list has checked them by then.
export const receivers = [
  cgroup,
  containerLogs,
  delayAccounting,
  icmpLatency,
  node,
  tcpConnections,
] as unknown as readonly ReceiverDefinition[]
