// Says who answered a connection when that is not who was dialled: a service's address is not the server behind it.
// Receivers find that out while the connection is young; without this processor their numbers are summed by what was
// dialled alone.
import * as z from 'zod/mini'
import type { Flow } from '../../receivers/host/host.ts'
import type { Attributes } from '../../receivers/receiver.ts'
import { defineProcessor } from '../processor.ts'

const config = z.strictObject({
  /** Whether to add OpenTelemetry's network.peer.address and network.peer.port as well. */
  network_peer: z._default(z.boolean(), false),
})

export default defineProcessor<z.infer<typeof config>>({
  name: 'nat_resolution',
  summary: 'Adds actual_destination: who answers after address translation (DNAT, Kubernetes services, Docker ports).',
  stability: 'alpha',
  config,
  metrics: {},

  start({ network_peer }) {
    const resolved = new WeakMap<Flow, WeakMap<Attributes, Attributes>>()

    function resolve(flow: Flow, actual: string, attributes: Attributes): Attributes {
      let known = resolved.get(flow)
      if (known === undefined) {
        known = new WeakMap()
        resolved.set(flow, known)
      }
      let result = known.get(attributes)
      if (result === undefined) {
        result = Object.freeze({ ...attributes, actual_destination: actual, ...(network_peer && peerOf(actual)) })
        known.set(attributes, result)
      }
      return result
    }

    return {
      process(batch) {
        for (const point of batch.points) {
          const { subject, metric } = point
          if (subject.kind !== 'flow' || subject.actualDestination === undefined) continue
          if (!metric.attributes?.includes('actual_destination')) continue
          point.attributes = resolve(subject, subject.actualDestination, point.attributes)
        }
        return batch
      },
    }
  },
})

/** Nothing for what is no address, such as the name of a network. */
function peerOf(actual: string): Attributes {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([\d.]+)):(\d+)$/.exec(actual)
  if (parts === null) return {}
  return { 'network.peer.address': parts[1] ?? parts[2] ?? '', 'network.peer.port': parts[3] ?? '' }
}
