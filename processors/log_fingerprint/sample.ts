// The first message of a pattern as a label shows it: readable, redacted, cut between characters.
import { stripVTControlCharacters } from 'node:util'
import { cleanText } from '../labels.ts'
import type { Message } from './engine.ts'
import { redacted } from './redact.ts'

const CONTROLS = /(?![\n\t])\p{Cc}/gu

/** How many bytes of a message are needed for a sample of `maxBytes`: what is taken out makes room for what follows. */
export const bytesForSample = (maxBytes: number) => maxBytes * 2

export function sampleOf(message: Message, maxBytes: number, isRaw: boolean): string {
  const most = bytesForSample(maxBytes)
  const { kept, bytes, from, to } = message
  const here = bytes.subarray(from, Math.min(to, from + most))
  const all = kept === undefined ? here : here.length === 0 ? kept : Buffer.concat([kept, NEW_LINE, here])
  return labelText(all.toString('utf8', 0, most), maxBytes, isRaw)
}

const NEW_LINE = Buffer.from('\n')

export function labelText(text: string, maxBytes: number, isRaw: boolean): string {
  const plain = stripVTControlCharacters(text.replaceAll('\r\n', '\n')).replace(CONTROLS, ' ').trim()
  return cleanText(isRaw ? plain : redacted(plain), maxBytes)
}
