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

/** A row of numbers by slot, for the few slots that have one. One that has none is all zeros. */
export class Cells {
  #rows: (Float64Array | undefined)[] = []

  get(slot: number): Float64Array | undefined {
    return this.#rows[slot]
  }

  set(slot: number, values: Float64Array): void {
    this.#rows[slot] = values
  }

  clear(slot: number): void {
    if (this.#rows[slot] !== undefined) this.#rows[slot] = undefined
  }

  /** Adds another row `times` times; both have the same length. */
  add(slot: number, other: Cells, otherSlot: number, times: number): void {
    const added = other.get(otherSlot)
    if (added === undefined) return
    let row = this.#rows[slot]
    if (row === undefined) {
      row = new Float64Array(added.length)
      this.#rows[slot] = row
    }
    for (let i = 0; i < row.length; i++) row[i] = (row[i] ?? 0) + times * (added[i] ?? 0)
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
