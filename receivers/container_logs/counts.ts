// What happened to logs while they were followed.

export type Counts = {
  rotations: number
  truncations: number
  /** Times that we could not find the place where we had been. */
  gaps: number
  /** Left out because reading was too far behind, or truncated away before they were read, as far as that is known. */
  skippedBytes: number
  cutBytes: number
  damagedRecords: number
}

export const noCounts = (): Counts => ({
  rotations: 0,
  truncations: 0,
  gaps: 0,
  skippedBytes: 0,
  cutBytes: 0,
  damagedRecords: 0,
})

export function addTo(sum: Counts, counts: Counts): void {
  for (const key of Object.keys(sum) as (keyof Counts)[]) sum[key] += counts[key]
}
