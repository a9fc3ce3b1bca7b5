// /proc/diskstats: what the machine's block devices did, and which name belongs to a MAJ:MIN.

export type Disk = {
  /** `254:0`. */
  readonly number: string
  /** `vda`. */
  readonly name: string
  readonly reads: number
  readonly readSectors: number
  readonly readMs: number
  readonly writes: number
  readonly writtenSectors: number
  readonly writeMs: number
  /** Time in which at least one request was under way. */
  readonly ioMs: number
}

/** Always 512 bytes here, whatever the device's own sectors are (Documentation/admin-guide/iostats.rst). */
export const SECTOR_BYTES = 512

/** Partitions are among them. Lines that are none of the kernel's are left out; the first of them is `junk`. */
export function parseDiskstats(text: string): { readonly disks: readonly Disk[]; readonly junk: string | undefined } {
  const disks: Disk[] = []
  const lines = text.split('\n')
  let junk = lines.pop() || undefined
  for (const line of lines) {
    const [major = '', minor = '', name = '', ...rest] = line.trim().split(/\s+/)
    // 11 fields since 2.6, more at the end since 4.18 and 5.5.
    const numbers = rest.slice(0, 11)
    if (numbers.length < 11 || ![major, minor, ...numbers].every((field) => /^\d{1,20}$/.test(field))) {
      if (line !== '') junk ??= line
      continue
    }
    const [reads = 0, , readSectors = 0, readMs = 0, writes = 0, , writtenSectors = 0, writeMs = 0, , ioMs = 0] =
      numbers.map(Number)
    disks.push({
      number: `${major}:${minor}`,
      name,
      reads,
      readSectors,
      readMs,
      writes,
      writtenSectors,
      writeMs,
      ioMs,
    })
  }
  return { disks, junk }
}
