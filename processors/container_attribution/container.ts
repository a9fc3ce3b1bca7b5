// A container as its runtime describes it → the Resource that its series carry.
import type { Container, HostIdentity } from '../../receivers/host/host.ts'
import { hostResource } from '../host_resource.ts'
import type { Resource } from '../processor.ts'

// The host makes a new Container when something about it changes, so this follows a rename by itself.
const resources = new WeakMap<Container, Resource>()

/** The same object each time for one Container, in every pipeline. */
export function containerResource(container: Container, identity: HostIdentity): Resource {
  let resource = resources.get(container)
  if (resource === undefined) {
    resource = {
      attributes: Object.freeze({ ...hostResource(identity).attributes, ...container.resource }),
      labels: Object.freeze({ container_id: container.containerId, app_id: container.appId }),
    }
    resources.set(container, resource)
  }
  return resource
}

/** Which containers are wanted, by their `container_id`. Patterns match anywhere in it, as the peer's do. */
export type Wanted = (container: Container) => boolean

/** `deny` wins over `allow`; an empty `allow` allows all. */
export function wanted(allow: readonly string[], deny: readonly string[]): Wanted {
  const allowed = allow.map((pattern) => new RegExp(pattern))
  const denied = deny.map((pattern) => new RegExp(pattern))
  if (allowed.length + denied.length === 0) return () => true

  const answers = new WeakMap<Container, boolean>()
  return (container) => {
    let answer = answers.get(container)
    if (answer === undefined) {
      const matches = (pattern: RegExp) => pattern.test(container.containerId)
      answer = !denied.some(matches) && (allowed.length === 0 || allowed.some(matches))
      answers.set(container, answer)
    }
    return answer
  }
}
