// Makes label sets that no backend chokes on, once, when they are interned: one bad label costs a whole scrape.
// Rules: the OTel → Prometheus label translation (otlptranslator, UnderscoreEscapingWithSuffixes).
import type { Attributes } from '../receivers/receiver.ts'

/** `prometheus`: names are cleaned to `[a-zA-Z_][a-zA-Z0-9_]*`; `otel`: names stay, dots and all. */
export type LabelNames = 'prometheus' | 'otel'

export type CleanLabels = {
  readonly attributes: Attributes
  /** The same for two sets that a backend of this naming takes for the same. */
  readonly key: string
  /** Names and values that had to be changed. */
  readonly changed: number
}

/**
 * Invalid characters become `_`, runs of `_` become one, a leading digit gets `key_` before it.
 * Runs go because the SDK's serializer joins them too, after which two names could be one.
 */
export function cleanLabelName(name: string): string {
  if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) && !name.includes('__')) return name
  const cleaned = name.replace(/[^a-zA-Z0-9_]/g, '_').replace(/_{2,}/g, '_')
  return /^[0-9]|^$/.test(cleaned) ? `key_${cleaned}` : cleaned
}

/** Valid Unicode of at most `maxBytes` bytes of UTF-8, cut between characters. */
export function cleanText(text: string, maxBytes: number): string {
  const valid = text.isWellFormed() ? text : text.toWellFormed()
  if (valid.length * 3 <= maxBytes) return valid
  const bytes = Buffer.from(valid)
  if (bytes.length <= maxBytes) return valid
  let end = maxBytes
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/** Names that are the same after cleaning share a label, their values joined by `;` in the order of the original names. */
export function cleanLabels(raw: Attributes, names: LabelNames, maxBytes: number): CleanLabels {
  let changed = 0
  let collided = false
  const clean = new Map<string, string>()
  for (const [rawName, rawValue] of Object.entries(raw)) {
    const name = names === 'prometheus' ? cleanLabelName(rawName) : cleanText(rawName, maxBytes)
    // Typed as a string, but a label is no place to find out that it was not.
    const value = cleanText(String(rawValue), maxBytes)
    if (name !== rawName) changed++
    if (value !== rawValue) changed++
    collided ||= clean.has(name)
    clean.set(name, value)
  }
  if (changed === 0) {
    const attributes = Object.isFrozen(raw) ? raw : { ...raw }
    return { attributes, key: labelKey(attributes, names), changed }
  }
  const attributes = collided ? joined(raw, names, maxBytes) : Object.fromEntries(clean)
  return { attributes, key: labelKey(attributes, names), changed }
}

function joined(raw: Attributes, names: LabelNames, maxBytes: number): Attributes {
  const values = new Map<string, string[]>()
  for (const rawName of Object.keys(raw).sort()) {
    const name = names === 'prometheus' ? cleanLabelName(rawName) : cleanText(rawName, maxBytes)
    values.set(name, [...(values.get(name) ?? []), String(raw[rawName])])
  }
  return Object.fromEntries([...values].map(([name, all]) => [name, cleanText(all.join(';'), maxBytes)]))
}

/** Unambiguous, and the same for any order of the names. To Prometheus an empty label is an absent one. */
export function labelKey(attributes: Attributes, names: LabelNames): string {
  const sorted = Object.keys(attributes)
  if (sorted.length === 0) return ''
  if (sorted.length > 1) sorted.sort()
  let key = ''
  for (const name of sorted) {
    const value = attributes[name] ?? ''
    if (value === '' && names === 'prometheus') continue
    key += `${name.length}:${name}${value.length}:${value}`
  }
  return key
}
