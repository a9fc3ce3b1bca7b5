// A log that keeps what was said, for tests that look at it or want silence.
import type { Logger } from '../../receivers/receiver.ts'

export type Said = { level: string; message: string; fields: Readonly<Record<string, unknown>> }

export function listeningLog(): Logger & { readonly said: Said[] } {
  const said: Said[] = []
  const say =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      void said.push({ level, message, fields })
  return { said, debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
