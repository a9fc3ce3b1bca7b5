// What a receiver leaves behind when the configuration is read again, for the one that follows it: programs that count
// on in the kernel, and what they had counted. Nothing is missed then, and nothing is told a second time.
import { isDeepStrictEqual } from 'node:util'

export type Kept = {
  /** For a receiver of the same id and settings. */
  leave(id: string, settings: unknown, thing: Closable): void
  /** Once; undefined when there is nothing, or when the settings were others: then it is closed. */
  take<T extends Closable>(id: string, settings: unknown): T | undefined
  /** Closes what nobody has taken. */
  closeAll(): void
}

type Closable = { close(): void }

export function createKept(): Kept {
  const things = new Map<string, { readonly settings: unknown; readonly thing: Closable }>()
  return {
    leave(id, settings, thing) {
      things.get(id)?.thing.close()
      things.set(id, { settings, thing })
    },
    take<T extends Closable>(id: string, settings: unknown) {
      const left = things.get(id)
      things.delete(id)
      if (left === undefined) return undefined
      // One id is one receiver's for ever, so it is what it left.
      if (isDeepStrictEqual(left.settings, settings)) return left.thing as T
      left.thing.close()
      return undefined
    },
    closeAll() {
      for (const { thing } of things.values()) thing.close()
      things.clear()
    },
  }
}
