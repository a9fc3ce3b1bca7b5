// The addon, typed. Each call moves bytes in bulk and returns what the kernel said; meaning is given by receivers.
// A failed system call throws an Error with `code` ('EPERM'), `errno` and `syscall` ('bpf', 'sendto', …).
export type BpfOptions = {
  /** Programs to load. Those of the object that are not named are left out. */
  readonly programs: readonly string[]
  /** Values of `const volatile` globals, by name; their size comes from the object. */
  readonly constants?: Readonly<Record<string, number | bigint>>
  /** max_entries by map name, where the object's default does not fit this host. */
  readonly mapEntries?: Readonly<Record<string, number>>
}

export type MapContent = {
  readonly count: number
  readonly keySize: number
  readonly valueSize: number
  /** `count` keys end to end. */
  readonly keys: Buffer
  /** `count` values end to end. */
  readonly values: Buffer
}

export type BpfObject = {
  /** Attaches a tp_btf, raw_tp or tp program. */
  attach(program: string): void
  /** Runs an iterator over everything there is, and returns what it wrote with bpf_seq_write. */
  iterate(program: string): Buffer
  /** The whole of a hash map, by BPF_MAP_LOOKUP_BATCH where the kernel has it. */
  readMap(map: string): MapContent
  lookup(map: string, key: Uint8Array): Buffer | undefined
  update(map: string, key: Uint8Array, value: Uint8Array): void
  /** Deletes keys laid end to end; returns how many were there. */
  remove(map: string, keys: Uint8Array): number
  /** Takes what is in a ring buffer now, at most `maxBytes`: for each record u32 length (LE), then the record. */
  drain(ring: string, maxBytes: number): Buffer
  /** Kernel memory of all maps in bytes, as fdinfo's memlock tells. */
  memory(): number
  /** Detaches and frees. Nothing of it stays in the kernel. */
  close(): void
}

export type Taskstats = {
  /** Asks for each thread group; for those that live: u32 tgid, u32 length, then the struct taskstats as it came. */
  ask(tgids: Uint32Array): Buffer
  /** Registers for the exit messages of these CPUs (`0-3`), with a receive buffer of `bufferBytes`. */
  listen(cpus: string, bufferBytes: number): void
  /** Exit messages so far: for each u32 length, then the generic netlink attributes as they came. */
  drain(): { readonly messages: Buffer; readonly overflows: number }
  close(): void
}
