// The addon, typed. Each call moves bytes in bulk and returns what the kernel said; meaning is given by receivers.
// A failed system call throws an Error with `code` ('EPERM'), a negative `errno`, and `syscall` ('bpf', 'send', …),
// as Node's own do; a wrong argument throws a TypeError. Where the addon cannot be loaded, the functions throw
// when they are called, and say what to do.
import { addon, loadedAddon } from './addon.ts'

export type BpfOptions = {
  /** Programs to load. Those of the object that are not named are left out. */
  readonly programs: readonly string[]
  /** Values of `const volatile` globals, by name; their size comes from the object. */
  readonly constants?: Readonly<Record<string, number | bigint>>
  /** max_entries by map name, where the object's default does not fit this host. */
  readonly mapEntries?: Readonly<Record<string, number>>
}

/** What loading or attaching throws, beside the members that every failed system call has. */
export type BpfError = Error & {
  readonly code: string
  readonly errno: number
  readonly syscall: string
  /** The last lines (at most 8 KiB) that libbpf and the verifier said, when they said something. */
  readonly log?: string
}

export type MapContent = {
  readonly count: number
  readonly keySize: number
  /** For maps with one value per CPU: all of them, each padded to 8 bytes. */
  readonly valueSize: number
  /** `count` keys end to end. */
  readonly keys: Buffer
  /** `count` values end to end. */
  readonly values: Buffer
}

/** A loaded BPF object. It is also closed when it is collected, and when its thread ends. */
export type BpfObject = {
  /**
   * Attaches a tp_btf, raw_tp, tp or iterator program; one over the entries of a map (`iter/bpf_map_elem`) to that map
   * of the object. Attached already: nothing happens.
   */
  attach(program: string, map?: string): void
  /** Runs an iterator over everything there is, and returns what it wrote with bpf_seq_write. */
  iterate(program: string): Buffer
  /**
   * The whole of a hash map or an array, by BPF_MAP_LOOKUP_BATCH where the kernel has it. Entries that change
   * meanwhile are seen before or after; without batches (before 5.6) one that comes or goes can make a key come twice.
   */
  readMap(map: string): MapContent
  lookup(map: string, key: Uint8Array): Buffer | undefined
  update(map: string, key: Uint8Array, value: Uint8Array): void
  /** Deletes keys laid end to end; returns how many were there. */
  remove(map: string, keys: Uint8Array): number
  /**
   * Takes what is in a ring buffer now, at most `maxBytes`: for each record u32 length (LE), then the record, not
   * padded. A record larger than `maxBytes` comes alone. Call again while the answer is not empty.
   */
  drain(ring: string, maxBytes: number): Buffer
  /**
   * From now on a thread takes the ring's records in, `pauseMs` after the first has come, and keeps `mostBytes` of them
   * until they are drained; what is above stays in the ring. While nothing comes it sleeps. Returns the reading end of
   * a pipe, for the caller to close: a byte comes when there is something to drain, and the next one only after that.
   * What was taken in comes in parts of up to 256 KiB, whatever drain's `maxBytes`. Following anew ends the pipe before.
   * The program must submit with flags 0, which wakes the thread for the first record alone.
   */
  follow(ring: string, pauseMs: number, mostBytes: number): number
  /** Kernel memory of all maps in bytes, as fdinfo's memlock tells. */
  memory(): number
  /**
   * How often the kernel passed the program over because it was under way on that CPU already, in its bpf_prog_info's
   * `recursion_misses` (since 5.12; 0 before).
   */
  passedOver(program: string): number
  /** Detaches and frees. Nothing of it stays in the kernel. Safe to call twice; everything else throws afterwards. */
  close(): void
}

export type ExitMessages = {
  /** For each u32 length, then the generic netlink attributes as they came (TASKSTATS_TYPE_AGGR_PID, …_TGID). */
  readonly messages: Buffer
  /** How often the socket's buffer has run over since the last call. */
  readonly overflows: number
  /** Messages that the kernel threw away in these overflows, as the socket counts them (SO_MEMINFO). */
  readonly lost: number
}

/** A connection to the kernel's taskstats. It is also closed when it is collected, and when its thread ends. */
export type Taskstats = {
  /** Asks for each thread group; for those that live: u32 tgid, u32 length, then the struct taskstats as it came. */
  ask(tgids: Uint32Array): Buffer
  /**
   * Registers for the exit messages of these CPUs (`0-3`), with a receive buffer of `bufferBytes`. Returns the size
   * it really has: without CAP_NET_ADMIN no more than net.core.rmem_max. Only in the initial network namespace
   * do messages arrive.
   */
  listen(cpus: string, bufferBytes: number): number
  /** Exit messages since the last call, at most 16 MiB. Never waits. */
  drain(): ExitMessages
  /** Deregisters and closes. Safe to call twice; everything else throws afterwards. */
  close(): void
}

export type EchoRecords = {
  /** What happened, in order (native/echo_records.h). */
  readonly records: Buffer
  /** Records that found no room since the last call: nobody had called for long. */
  readonly lost: number
  /**
   * Rounds that the thread has finished so far. Each reads all that has come until it begins, so two more than at an
   * earlier call mean: what had come by then is in the records.
   */
  readonly rounds: number
}

/**
 * ICMP and ICMPv6 echo requests, sent when they are due and timed by the kernel, by a thread of its own: a blocked
 * main loop changes nothing of it. It is also closed when it is collected, and when its JavaScript thread ends.
 */
export type Echo = {
  /**
   * Opens a socket in the namespace of this descriptor (needs CAP_SYS_ADMIN), in ours without one. `raw` needs
   * CAP_NET_RAW; for `dgram` see net.ipv4.ping_group_range in icmp(7): it gets its identifier from the kernel.
   * A socket keeps its namespace alive: shut it as soon as nobody lives there any more.
   */
  open(family: 4 | 6, kind: 'raw' | 'dgram', ident: number, namespace?: number): { socket: number; ident: number }
  /** Closes one socket. Requests that are still to be sent through it fail with EBADF. */
  shut(socket: number): void
  /**
   * Requests end to end: u32 socket, u32 tag, u32 microseconds from now, u32 length of the packet, 16 bytes of address
   * (IPv4: the first four), then the ICMP message, padded to 4 bytes. In the machine's byte order. ICMPv6's checksum
   * is filled in by the kernel. Returns how many were taken; beyond 65 536 that wait there is no room.
   */
  send(requests: Uint8Array): number
  /** What has happened since the last call, and begins another round. Never waits. */
  drain(): EchoRecords
  /** Ends the thread and closes all sockets. Safe to call twice; everything else throws afterwards. */
  close(): void
}

export type NetlinkOptions = {
  /** Number of the protocol in <linux/netlink.h>: 0 NETLINK_ROUTE, 4 NETLINK_SOCK_DIAG, 12 NETLINK_NETFILTER. */
  readonly protocol: number
  /**
   * Descriptor of the network namespace to open it in, ours by default. Entering one needs CAP_SYS_ADMIN. The socket
   * is used from anywhere then, and keeps the namespace alive until it is closed.
   */
  readonly namespace?: number
  /** Multicast groups to hear, by their numbers in the protocol's header. Such a socket cannot ask. */
  readonly groups?: readonly number[]
  /** Size of the receive buffer. Without CAP_NET_ADMIN no more than net.core.rmem_max is given. */
  readonly bufferBytes?: number
  /** Hear the groups of all namespaces that have an id in the socket's (NETLINK_LISTEN_ALL_NSID). CAP_NET_BROADCAST. */
  readonly allNamespaces?: boolean
  /** Classic BPF, struct sock_filter end to end: a message that it returns 0 for is not queued. */
  readonly filter?: Uint8Array
}

export type Heard = {
  /** For each datagram: i32 id of the network namespace it comes from (-1: the socket's), u32 length, its bytes. */
  readonly datagrams: Buffer
  /** How often the socket's buffer has run over since the last call. */
  readonly overflows: number
  /** Messages that the kernel threw away in these overflows, as the socket counts them (SO_MEMINFO). */
  readonly lost: number
}

/** A netlink socket. It is also closed when it is collected, and when its thread ends. */
export type Netlink = {
  /**
   * Sends whole netlink messages laid end to end, each padded to 4 bytes, and returns all messages they are answered
   * with, errors too, as they came and in the same form; only the sequence number is the index of the request.
   * A dump (NLM_F_DUMP) is answered in full. A request that the kernel did not answer has no message.
   */
  ask(requests: Uint8Array): Buffer
  /** Sends one dump request, whose answer is taken in pieces with `next`. */
  begin(request: Uint8Array): void
  /** The next messages of that answer, about `maxBytes`; empty when it has been told in full. */
  next(maxBytes: number): Buffer
  /** What the groups have said since the last call, at most about 16 MiB. Never waits. */
  drain(): Heard
  /**
   * From now on a thread takes in what the groups say, at once after a quiet time and else every `pauseMs`, 16 MiB at
   * most. As with BpfObject.follow it sleeps while nothing comes, and a byte in the pipe that is returned says when to
   * drain.
   */
  follow(pauseMs: number): number
  /** Safe to call twice; everything else throws afterwards. */
  close(): void
}

export type FileContents = {
  /** The files' bytes end to end. File i is `data.subarray(ends[i - 1] ?? 0, ends[i])`. */
  readonly data: Buffer
  /** Where each file ends in `data`, in the order of the paths. */
  readonly ends: Uint32Array
  /** 0, or the negative error number that reading it gave (-2 ENOENT, -19 ENODEV, …); then it has no bytes. */
  readonly errors: Int32Array
}

/** Files that stay open. They are also closed when the object is collected, and when its thread ends. */
export type OpenFiles = {
  /** Each file as it is now, from its beginning. One whose cgroup or process is gone has the error -19 (ENODEV) or -3 (ESRCH). */
  read(): FileContents
  /** Safe to call twice; reading throws afterwards. */
  close(): void
}

export type JournalOptions = {
  /** A directory of journal files. */
  readonly directory?: string
  /** Else: where a system's root is mounted, whose persistent and volatile journals are read. Else: our own system's. */
  readonly root?: string
  /** Names of the fields that `read` hands over, `MESSAGE`, `_SYSTEMD_UNIT`. */
  readonly fields: readonly string[]
  /** `head`, `tail` (what comes from now on), or a cursor: what comes after it. */
  readonly start: string
}

export type JournalEntries = {
  readonly count: number
  /** Of the last entry; '' where there is none. */
  readonly cursor: string
  /**
   * For each entry u64 microseconds since the epoch, then for each field u32 length (2^32-1: the entry does not have
   * it) and its bytes, which may be any.
   */
  readonly entries: Buffer
}

/** A systemd journal, read by libsystemd. It is also closed when it is collected, and when its thread ends. */
export type Journal = {
  /** What has come since the last call: at most `maxEntries`, and no more after `maxBytes`. Never waits. */
  read(maxEntries: number, maxBytes: number): JournalEntries
  /** Safe to call twice; reading throws afterwards. */
  close(): void
}

/**
 * Opens an object file from memory, sets what the options say and loads the named programs. Attaches nothing.
 * Throws a BpfError when the kernel refuses, and a TypeError for a program, constant or map that the object lacks.
 */
export function loadBpf(object: Uint8Array, options: BpfOptions): BpfObject {
  const { BpfObject } = addon()
  return new BpfObject(object, options)
}

/** Finds the kernel's TASKSTATS family. Throws with code ENOENT where the kernel has none. Asking needs CAP_NET_ADMIN. */
export function openTaskstats(): Taskstats {
  const { Taskstats } = addon()
  return new Taskstats()
}

/** Starts the thread. Opens no socket but one, for which the kernel stamps arriving packets from now on. */
export function openEcho(): Echo {
  const { Echo } = addon()
  return new Echo()
}

/**
 * Opens a netlink socket. Throws with code EPERM where the namespace may not be entered or the groups not be heard,
 * EPROTONOSUPPORT where the kernel lacks the protocol, and EBADF or EINVAL for what is no network namespace.
 */
export function openNetlink(options: NetlinkOptions): Netlink {
  const { Netlink } = addon()
  return new Netlink(options)
}

/**
 * Reads many small files of /proc, /sys or cgroupfs in one call. A file that cannot be read is no exception:
 * `errors` has the reason. Files above 16 MiB are refused with -EFBIG, and so is what comes after 1 GiB in all.
 */
export function readFiles(paths: readonly string[]): FileContents {
  return addon().readFiles(paths)
}

/**
 * Opens many small files to read them again and again: a file of cgroupfs then costs about 1 µs instead of 10.
 * One that cannot be opened is no exception: every `read` has its reason in `errors`, also when it comes later.
 * A held file does not keep its cgroup alive.
 */
export function openFiles(paths: readonly string[]): OpenFiles {
  const { OpenFiles } = addon()
  return new OpenFiles(paths)
}

/**
 * Whether nobody else has locked that file: then it is ours until its descriptor is closed or the process ends, however
 * that ends (flock(2)). It holds between containers too. Throws ENOLCK and the like where a file system has no locks.
 */
export function lockFile(descriptor: number): boolean {
  return addon().lockFile(descriptor)
}

/**
 * Opens a directory as a process with that root would see it (`/proc/PID/root`), and returns its descriptor, which the
 * caller closes. No link leads out of the root (openat2(2), RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS; ENOSYS before
 * Linux 5.6). The descriptor is a place only (O_PATH): `/proc/self/fd/N/name` are its files.
 */
export function openDirectoryIn(root: string, path: string): number {
  return addon().openDirectoryIn(root, path)
}

/** Throws with code ENOENT and syscall dlopen where there is no libsystemd.so.0. */
export function openJournal(options: JournalOptions): Journal {
  const { Journal } = addon()
  return new Journal(options)
}

/** How long Node may take to end its threads. With the eight seconds of a shutdown it stays below `docker stop`'s ten. */
const EXIT_SECONDS = 1

/**
 * process.exit(code) that cannot hang. Node waits there for the threads of V8, and one of those may wait for a garbage
 * collection that nobody makes any more (nodejs/node#54918). Then the process ends all the same (alarm(2), _exit(2)),
 * where the addon is loaded: whoever needs nothing of it hardly has such threads.
 */
export function exit(code: number): never {
  loadedAddon()?.exitWithin(code, EXIT_SECONDS)
  process.exit(code)
}
