// A configuration that is fine, ways to spoil it in one place, and what is said of it then.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the Collector's grammar
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { complaintText, inFileOrder, placeText } from '../../../otel-config/config/complaints.ts'
import { examine } from '../../../otel-config/config/load.ts'
import { components } from './given.ts'

export const FINE = `receivers:
  cgroup:
  icmp_latency:
exporters:
  debug:
service:
  pipelines:
    metrics: {receivers: [cgroup, icmp_latency], exporters: [debug]}
`

/** What is said of a text in the variable FILE, with `FILE:` left out; warnings last. */
export function said(text: string, environment: Record<string, string> = {}): string[] {
  const wanted = { configs: ['env:FILE'], sets: [], environment: { FILE: text, ...environment } }
  const { complaints, warnings } = examine(wanted, components)
  const line = (one: (typeof complaints)[number]) =>
    `${placeText(one.place).replace(/^env:FILE:/, '')} ${complaintText(one)}`
  return [...inFileOrder(complaints).map(line), ...(complaints.length > 0 ? [] : inFileOrder(warnings).map(line))]
}

export const icmp = (body: string) => FINE.replace('  icmp_latency:\n', `  icmp_latency:\n    ${body}\n`)
export const cgroup = (body: string) => FINE.replace('  cgroup:\n', `  cgroup:\n    ${body}\n`)
export const otlp = (body: string) =>
  FINE.replace('  debug:\n', `  otlp_grpc:\n    ${body}\n`).replace('exporters: [debug]', 'exporters: [otlp_grpc]')
export const pipeline = (text: string) => FINE.replace(/ {4}metrics: .*/, `    ${text}`)
export const service = (text: string) => FINE.replace('service:\n', `service:\n  ${text}\n`)

/** One test for each: the text of a configuration, and all that is said of it. */
export function eachIsSaid(mistakes: readonly (readonly [title: string, text: string, ...said: string[]])[]): void {
  for (const [title, text, ...expected] of mistakes) {
    test(`${title}: ${expected.length === 0 ? 'nothing to say' : 'said with its place'}`, () => {
      assert.deepEqual(said(text, { WORD: 'ten', LOOP: '${LOOP}' }), expected)
    })
  }
}
