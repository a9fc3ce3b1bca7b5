// What is wrong with a configuration, said all at once: place in front, the Collector's words, and a remedy behind.
import type { Place } from './tree.ts'

export type Complaint = {
  readonly place: Place
  /** Where in the configuration, pieces joined by `::`; '' for the whole. */
  readonly path: string
  readonly message: string
}

export const placeText = ({ source, line, column }: Place): string =>
  line === undefined ? source : `${source}:${line}:${column ?? 1}`

/** A key or a file that is taken for a value can be a megabyte; what is expected stands in front, the remedy behind. */
const LONGEST_TEXT = 600

/**
 * Keys can hold anything, terminals should not: neither what moves the cursor nor what turns the direction of writing.
 * A name and password inside an address stay out.
 */
export function bounded(message: string): string {
  const text = message.replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, '?').replaceAll(/:\/\/[^/@\s"]+@/g, '://[REDACTED]@')
  if (text.length <= LONGEST_TEXT) return text
  return `${text.slice(0, LONGEST_TEXT - 203)}...${text.slice(-200)}`.toWellFormed()
}

export const complaintText = ({ path, message }: Complaint): string =>
  bounded(path === '' ? message : `${path}: ${message}`)

/** In the order of the files, then of their lines. */
export function inFileOrder(complaints: readonly Complaint[]): Complaint[] {
  return complaints.toSorted(
    (a, b) =>
      a.place.order - b.place.order ||
      (a.place.line ?? 0) - (b.place.line ?? 0) ||
      (a.place.column ?? 0) - (b.place.column ?? 0),
  )
}

/** One per line, in file order, the texts below each other. */
export function listed(complaints: readonly Complaint[]): string[] {
  const sorted = inFileOrder(complaints)
  const width = Math.min(40, Math.max(0, ...sorted.map(({ place }) => placeText(place).length)))
  return sorted.map((complaint) => `${placeText(complaint.place).padEnd(width)}  ${complaintText(complaint)}`)
}

/** Of all that is wrong with a configuration. */
export class ConfigError extends Error {
  readonly complaints: readonly Complaint[]

  constructor(complaints: readonly Complaint[]) {
    const count = complaints.length === 1 ? '1 problem' : `${complaints.length} problems`
    super([...listed(complaints), `${count}. Nothing was started.`].join('\n'))
    this.name = 'ConfigError'
    this.complaints = inFileOrder(complaints)
  }
}
