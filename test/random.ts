// Numbers that look random and are the same in every run, so that what failed once fails again.

/** Returns whole numbers from 0 to below `below`. Lehmer's generator (Park and Miller, 1988). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48271) % 0x7fffffff
    return state % below
  }
}
