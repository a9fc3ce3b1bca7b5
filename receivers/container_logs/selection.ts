// Which containers are read: by runtime, name, label and annotation; what is excluded is not read in any case.
import type { Cgroup, Container, Host } from '../host/host.ts'
import type { Choice } from './settings.ts'

/** How Kubernetes' annotations come among the labels, with and without the prefix of cri-dockerd. */
const ANNOTATION = ['annotation.', '']

export type Selected = 'yes' | 'no' | 'not known yet'

export function selection(
  host: Host,
  { include, exclude }: { readonly include: Choice; readonly exclude: Choice },
): (cgroup: Cgroup) => Selected {
  const isWanted = isEmpty(include) ? () => true : matcher(include)
  const isUnwanted = isEmpty(exclude) ? () => false : matcher(exclude)

  return (cgroup) => {
    const whose = host.attribution(cgroup)
    if (whose.state === 'pending') return 'not known yet'
    if (whose.state === 'none') return 'no'
    const labels = host.logs?.labelsOf(cgroup) ?? {}
    return isWanted(whose.container, labels) && !isUnwanted(whose.container, labels) ? 'yes' : 'no'
  }
}

const isEmpty = ({ runtimes, names, labels, annotations }: Choice): boolean =>
  runtimes.length + names.length + Object.keys(labels).length + Object.keys(annotations).length === 0

/** One line of the description that fits is enough. */
function matcher({ runtimes, names, labels, annotations }: Choice) {
  const nameForms = names.map((name) => new RegExp(name))
  const labelForms = [
    ...Object.entries(labels).map(([key, form]) => [key, new RegExp(form)] as const),
    ...Object.entries(annotations).flatMap(([key, form]) =>
      ANNOTATION.map((prefix) => [prefix + key, new RegExp(form)] as const),
    ),
  ]
  return ({ runtime, containerId }: Container, told: Readonly<Record<string, string>>): boolean =>
    runtimes.includes(runtime) ||
    nameForms.some((form) => form.test(containerId)) ||
    labelForms.some(([key, form]) => told[key] !== undefined && form.test(told[key]))
}
