// Numbers by slot, in typed arrays: a series costs about 150 bytes so, and twice that as objects
// (V8 boxes each changing double of an object by itself).

/** One column of numbers. It grows by writing; a slot never written reads as NaN or 0. */
export class Column {
  #values = new Float64Array(64)

  get(slot: number): number {
    return this.#values[slot] ?? Number.NaN
  }

  set(slot: number, value: number): void {
    if (slot >= this.#values.length) {
      const grown = new Float64Array(Math.max(slot + 1, this.#values.length * 2))
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[slot] = value
  }
}

/** Hands out the lowest unused whole numbers it knows of, so that columns stay dense. */
export class Slots {
  #free: number[] = []
  #end = 0

  take(): number {
    return this.#free.pop() ?? this.#end++
  }

  giveBack(slot: number): void {
    this.#free.push(slot)
  }

  /** One more than the highest slot ever handed out. */
  get end(): number {
    return this.#end
  }
}
