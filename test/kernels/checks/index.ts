// All that is looked at in a guest, in the order in which it runs there.
import { cgroupEvents } from './cgroup_events.ts'
import { delayAccounting } from './delay_accounting.ts'
import { nat } from './nat.ts'
import { network } from './network.ts'
import { programs } from './programs.ts'
import { taskstats } from './taskstats.ts'
import { tcpConnections } from './tcp_connections.ts'

export const checks = [programs, taskstats, cgroupEvents, delayAccounting, network, tcpConnections, nat]
