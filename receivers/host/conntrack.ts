// Connection tracking over netlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h): what became of a connection
// on its way, one entry for each, with the tuple that was sent and the one that is answered.
import { getSystemErrorName } from 'node:util'
import type { Netlink } from '../../native/index.ts'
import { sameAddress } from './address.ts'
import { attribute, findAttribute, messages, NLM_F_DUMP, nested, request, valueEnd } from './netlink.ts'

export const NETLINK_NETFILTER = 12
/** Multicast groups (enum nfnetlink_groups). */
export const NFNLGRP_CONNTRACK_NEW = 1
export const NFNLGRP_CONNTRACK_DESTROY = 3

const CT_NEW = 0x100 // NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW
const CT_GET = 0x101
const CT_DELETE = 0x102
const CT_GET_STATS = 0x105
const NFGENMSG = 4
const AF_INET = 2
const AF_INET6 = 10
export const IPPROTO_TCP = 6

/** enum ctattr_type */
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_STATUS = 3
const CTA_STATUS_MASK = 26
/** enum ctattr_tuple, ctattr_ip, ctattr_l4proto */
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_PROTO_NUM = 1
const CTA_PROTO_SRC_PORT = 2
const CTA_PROTO_DST_PORT = 3
const V4 = { source: 1, destination: 2, bytes: 4 }
const V6 = { source: 3, destination: 4, bytes: 16 }
/** enum ctattr_stats_global */
const CTA_STATS_GLOBAL_ENTRIES = 1
/** enum ip_conntrack_status */
const IPS_DST_NAT = 1 << 5

const ENOENT = 2

/** Addresses have 4 or 16 bytes. */
export type Tuple = {
  readonly source: Uint8Array
  readonly sourcePort: number
  readonly destination: Uint8Array
  readonly destinationPort: number
}

export type ConntrackEntry = {
  /** IANA protocol number, 6 for TCP. */
  readonly protocol: number
  /** As it was sent. */
  readonly original: Tuple
  /** As it is answered: its source is who really answers. */
  readonly reply: Tuple
}

/** Whether the answer comes from somewhere else. The status bits do not tell: IPVS sets none. */
export const isTranslated = ({ original, reply }: ConntrackEntry): boolean =>
  original.destinationPort !== reply.sourcePort || !sameAddress(original.destination, reply.source)

/** Asks for the entry with this original tuple. */
export function getRequest({ source, sourcePort, destination, destinationPort }: Tuple): Buffer {
  const v6 = source.length === 16
  const message = Buffer.from(v6 ? GET_V6 : GET_V4)
  const ports = v6 ? 80 : 56
  message.set(source, 32)
  message.set(destination, v6 ? 52 : 40)
  message.writeUInt16BE(sourcePort, ports + 4)
  message.writeUInt16BE(destinationPort, ports + 12)
  return message
}

const GET_V4 = getTemplate(AF_INET, V4)
const GET_V6 = getTemplate(AF_INET6, V6)

function getTemplate(family: number, { source, destination, bytes }: typeof V4): Buffer {
  const ip = nested(CTA_TUPLE_IP, attribute(source, Buffer.alloc(bytes)), attribute(destination, Buffer.alloc(bytes)))
  const protocol = attribute(CTA_PROTO_NUM, Buffer.of(IPPROTO_TCP))
  const port = (type: number) => attribute(type, Buffer.alloc(2))
  const ports = nested(CTA_TUPLE_PROTO, protocol, port(CTA_PROTO_SRC_PORT), port(CTA_PROTO_DST_PORT))
  return request(CT_GET, 0, Buffer.of(family, 0, 0, 0), nested(CTA_TUPLE_ORIG, ip, ports))
}

/**
 * The entries of TCP connections with these original tuples, in their order; undefined where there is none: not
 * tracked there, or over for a while. Throws with code EPERM without CAP_NET_ADMIN, EINVAL without nf_conntrack.
 */
export function askConntrack(netlink: Netlink, tuples: readonly Tuple[]): (ConntrackEntry | undefined)[] {
  const entries = new Array<ConntrackEntry | undefined>(tuples.length).fill(undefined)
  if (tuples.length === 0) return entries
  const answers = netlink.ask(Buffer.concat(tuples.map(getRequest)))
  for (const { type, error, sequence, at, end } of messages(answers)) {
    if (error !== undefined && error !== 0 && error !== ENOENT) throw refusal(error)
    if (type === CT_NEW && sequence < entries.length) entries[sequence] = decodeConntrack(answers, at, end)
  }
  return entries
}

/** How many entries there are; 0 where nothing is tracked, because no rule asks for it. Undefined when it is not told. */
export function countConntrack(netlink: Netlink): number | undefined {
  const answer = netlink.ask(request(CT_GET_STATS, 0, Buffer.alloc(NFGENMSG)))
  for (const { type, at, end } of messages(answer)) {
    const value = type === CT_GET_STATS ? findAttribute(answer, at + NFGENMSG, end, CTA_STATS_GLOBAL_ENTRIES) : -1
    if (value >= 0 && valueEnd(answer, value) - value === 4) return answer.readUInt32BE(value)
  }
  return undefined
}

/** Every entry of a family (2 AF_INET, 10 AF_INET6); with `translated` only those whose destination netfilter changed. */
export function dumpRequest(family: 2 | 10, { translated = false } = {}): Buffer {
  const bits = Buffer.alloc(4)
  bits.writeUInt32BE(IPS_DST_NAT)
  // A kernel that does not know the mask sends everything.
  const filter = translated ? [attribute(CTA_STATUS, bits), attribute(CTA_STATUS_MASK, bits)] : []
  return request(CT_GET, NLM_F_DUMP, Buffer.of(family, 0, 0, 0), ...filter)
}

/** The entries of an answer to `dumpRequest`, or of a datagram of the groups. */
export function* conntrackEntries(
  bytes: Buffer,
  start = 0,
  stop = bytes.length,
): Generator<ConntrackEntry & { readonly event: 'new' | 'destroy' }> {
  for (const { type, at, end, error } of messages(bytes, start, stop)) {
    if (error) throw refusal(error)
    if (type !== CT_NEW && type !== CT_DELETE) continue
    const entry = decodeConntrack(bytes, at, end)
    if (entry) yield { ...entry, event: type === CT_NEW ? 'new' : 'destroy' }
  }
}

/** From struct nfgenmsg on. Undefined for what has not both tuples in full, or no ports. */
export function decodeConntrack(bytes: Buffer, at: number, end: number): ConntrackEntry | undefined {
  if (at + NFGENMSG > end) return undefined
  const original = findAttribute(bytes, at + NFGENMSG, end, CTA_TUPLE_ORIG)
  const reply = findAttribute(bytes, at + NFGENMSG, end, CTA_TUPLE_REPLY)
  if (original < 0 || reply < 0) return undefined
  const sent = decodeTuple(bytes, original)
  const answered = decodeTuple(bytes, reply)
  if (sent === undefined || answered === undefined || sent.protocol !== answered.protocol) return undefined
  return { protocol: sent.protocol, original: sent.tuple, reply: answered.tuple }
}

function decodeTuple(bytes: Buffer, at: number): { tuple: Tuple; protocol: number } | undefined {
  const end = valueEnd(bytes, at)
  const ip = findAttribute(bytes, at, end, CTA_TUPLE_IP)
  const l4 = findAttribute(bytes, at, end, CTA_TUPLE_PROTO)
  if (ip < 0 || l4 < 0) return undefined
  const ipEnd = valueEnd(bytes, ip)
  const family = findAttribute(bytes, ip, ipEnd, V4.source) < 0 ? V6 : V4
  const source = addressAt(bytes, findAttribute(bytes, ip, ipEnd, family.source), family.bytes)
  const destination = addressAt(bytes, findAttribute(bytes, ip, ipEnd, family.destination), family.bytes)
  const l4End = valueEnd(bytes, l4)
  const number = findAttribute(bytes, l4, l4End, CTA_PROTO_NUM)
  const sourcePort = portAt(bytes, findAttribute(bytes, l4, l4End, CTA_PROTO_SRC_PORT))
  const destinationPort = portAt(bytes, findAttribute(bytes, l4, l4End, CTA_PROTO_DST_PORT))
  if (source === undefined || destination === undefined || number < 0 || valueEnd(bytes, number) - number < 1)
    return undefined
  if (sourcePort === undefined || destinationPort === undefined) return undefined
  return { tuple: { source, sourcePort, destination, destinationPort }, protocol: bytes.readUInt8(number) }
}

const addressAt = (bytes: Buffer, at: number, length: number): Buffer | undefined =>
  at < 0 || valueEnd(bytes, at) - at !== length ? undefined : bytes.subarray(at, at + length)

const portAt = (bytes: Buffer, at: number): number | undefined =>
  at < 0 || valueEnd(bytes, at) - at !== 2 ? undefined : bytes.readUInt16BE(at)

function refusal(error: number): Error {
  const code = getSystemErrorName(-error)
  return Object.assign(new Error(`cannot ask conntrack: ${code} · fix: ${remedy(code)}`), { code })
}

function remedy(code: string): string {
  if (code === 'EPERM') return 'grant CAP_NET_ADMIN, or run as root'
  return 'modprobe nf_conntrack_netlink, or a kernel with CONFIG_NF_CT_NETLINK'
}

/** As the connection goes on from there: who answers is where it goes, and whom they answer is where it comes from. */
export function onwards({ reply }: ConntrackEntry): Tuple {
  return {
    source: reply.destination,
    sourcePort: reply.destinationPort,
    destination: reply.source,
    destinationPort: reply.sourcePort,
  }
}
