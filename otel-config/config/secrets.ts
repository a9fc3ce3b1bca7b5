// What is secret by its name, where no schema says so.
import type { Step } from './tree.ts'

/** In a key. */
const TELLING = /(^|_)(password|passwd|secret|token|api_?key|key_pem|credentials?|authorization)$/i

/** In text that was typed, before it is understood. */
export const SECRET_WORD = /headers|password|passwd|secret|token|api_?key|key_pem|credential|authorization/i

/** Headers of requests are secret whatever their names. */
export const tellsOfSecret = (path: readonly Step[]): boolean =>
  path.includes('headers') || path.some((step) => TELLING.test(String(step)))
