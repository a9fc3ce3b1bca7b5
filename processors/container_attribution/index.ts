// Says whose container a cgroup is: receivers report about kernel identities, people ask about names.
import * as z from 'zod/mini'
import type { Container, Host } from '../../receivers/host/host.ts'
import type { Subject } from '../../receivers/receiver.ts'
import { hostResource } from '../host_resource.ts'
import { defineProcessor, type Point, type Resource } from '../processor.ts'
import { containerResource, type Wanted, wanted } from './container.ts'
import { createLastWords } from './last_words.ts'
import { createLife, metrics } from './life.ts'

const pattern = () =>
  z.string().check(
    z.refine(compiles, {
      error: (issue) => `expected a regular expression, got ${JSON.stringify(issue.input)}`,
    }),
  )

const config = z.strictObject({
  /** Regular expressions on `container_id`; when there are any, one of them has to match. */
  container_allowlist: z._default(z.array(pattern()), []),
  /** Regular expressions on `container_id`; none of them may match. Wins over the other list. */
  container_denylist: z._default(z.array(pattern()), []),
})

export default defineProcessor<z.infer<typeof config>>({
  name: 'container_attribution',
  summary: 'Turns cgroups into containers: container_id, app_id and OpenTelemetry resource attributes.',
  stability: 'alpha',
  config,
  metrics,

  start(settings, { host, meter, id }) {
    const isWanted = wanted(settings.container_allowlist, settings.container_denylist)
    const life = createLife()
    const lastWords = createLastWords()
    const points = meter.createCounter('otelcol_processor_container_attribution_points', {
      description: 'Points by what became of them: attributed, pending, unattributed or denied.',
      unit: '{datapoint}',
    })

    return {
      process(batch) {
        const counts: Record<Outcome, number> = { attributed: 0, pending: 0, unattributed: 0, denied: 0 }
        const kept: Point[] = []
        let answer: Answer | undefined
        let subject: Subject | undefined
        for (const point of [...batch.points, ...lastWords.take(batch)]) {
          if (answer === undefined || point.subject !== subject) {
            subject = point.subject
            answer = attribute(host, subject, isWanted)
            if (answer.container !== undefined) life.note(answer.container)
          }
          counts[answer.outcome]++
          if (answer.outcome === 'pending') lastWords.hold(batch, point)
          if (answer.resource === undefined) continue
          point.resource = answer.resource
          kept.push(point)
        }
        for (const outcome of OUTCOMES) if (counts[outcome] > 0) points.add(counts[outcome], { processor: id, outcome })
        const living = Iterator.from(host.containers()).filter(isWanted)
        kept.push(...life.points({ ...batch, points: kept }, living, host.identity))
        return { ...batch, points: kept }
      },
    }
  },
})

/** What became of a point. `pending`: the runtime has not answered yet; a counter brings it again next time. */
const OUTCOMES = ['attributed', 'pending', 'unattributed', 'denied'] as const
type Outcome = (typeof OUTCOMES)[number]

type Answer = { readonly outcome: Outcome; readonly resource?: Resource; readonly container?: Container }

const PENDING: Answer = { outcome: 'pending' }
const UNATTRIBUTED: Answer = { outcome: 'unattributed' }
const DENIED: Answer = { outcome: 'denied' }

function attribute(host: Host, subject: Subject, isWanted: Wanted): Answer {
  if (subject.kind === 'node') return { outcome: 'attributed', resource: hostResource(host.identity) }
  const attribution = host.attribution(subject.kind === 'flow' ? subject.cgroup : subject)
  if (attribution.state === 'pending') return PENDING
  if (attribution.state === 'none') return UNATTRIBUTED
  const { container } = attribution
  if (!isWanted(container)) return DENIED
  return { outcome: 'attributed', resource: containerResource(container, host.identity), container }
}

function compiles(text: string): boolean {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}
