// Damages bytes as test/native/netlink_mutations.cc does: bits, bytes, lengths and cuts, the front more often.

/** Random numbers that are the same in each run (mulberry32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return below === 0 ? 0 : ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

export function damaged(whole: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(whole)
  for (let times = 1 + random(4); times > 0 && bytes.length > 0; times--) {
    const at = random(2) === 0 ? random(Math.min(bytes.length, 40)) : random(bytes.length)
    switch (random(5)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
        break
      case 1:
        bytes[at] = random(256)
        break
      case 2:
        bytes[at] = random(2) === 0 ? 0 : 0xff
        break
      case 3:
        bytes = Buffer.from(bytes.subarray(0, at))
        break
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(1 + random(8), random(256)), bytes.subarray(at)])
    }
  }
  // Alone in its memory, so that reading beyond its end is an error and not a neighbour's bytes.
  return Buffer.from(Uint8Array.from(bytes).buffer)
}
