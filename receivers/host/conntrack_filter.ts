// A filter that the kernel runs on each conntrack event before it is queued for us: only TCP connections whose answer
// comes from somewhere else than was dialled pass. At ten thousand direct connections a second we hear nothing.
// Classic BPF (Documentation/networking/filter.rst), whose extensions find netlink attributes in a message.

/** A value of `accept` keeps the whole message. */
const ACCEPT = 0xffffffff
const REJECT = 0

/** Opcodes of <linux/bpf_common.h>, and the places of the extensions (SKF_AD_OFF + SKF_AD_NLATTR, _NLATTR_NEST). */
const LD_IMM = 0x00
const LD_MEM = 0x60
const LD_ABS_W = 0x20
const LD_IND_W = 0x40
const LD_IND_H = 0x48
const LD_IND_B = 0x50
const LDX_IMM = 0x01
const LDX_MEM = 0x61
const ST = 0x02
const TAX = 0x07
const JEQ_K = 0x15
const JEQ_X = 0x1d
const RET = 0x06
const NLATTR = 0xfffff00c
const NLATTR_NEST = 0xfffff010

/** struct nlmsghdr and nfgenmsg come before the attributes, and each attribute has a header of 4 bytes. */
const ATTRIBUTES_AT = 20
const VALUE = 4

/** nfnetlink_conntrack.h, as in conntrack.ts */
const ORIGINAL = 1
const REPLY = 2
const IP = 1
const PROTOCOL = 2
const PROTOCOL_NUMBER = 1
const SOURCE_PORT = 2
const DESTINATION_PORT = 3
const V4_SOURCE = 1
const V4_DESTINATION = 2
const V6_SOURCE = 3
const V6_DESTINATION = 4
const TCP = 6

type Target = 'accept' | 'reject' | 'v6'
type Instruction = {
  readonly code: number
  readonly k: number
  /** Where to go on when the comparison holds, and when it does not; the next instruction by default. */
  readonly yes?: Target
  readonly no?: Target
  readonly label?: 'v6'
}

const op = (code: number, k = 0, rest: Omit<Instruction, 'code' | 'k'> = {}): Instruction => ({ code, k, ...rest })

/** A = offset of the attribute of that type in the one whose offset is in A. What is not there is not judged here. */
const inside = (type: number, absent: Target = 'accept') => [
  op(LDX_IMM, type),
  op(LD_ABS_W, NLATTR_NEST),
  op(JEQ_K, 0, { yes: absent }),
]
const top = (type: number) => [
  op(LD_IMM, ATTRIBUTES_AT),
  op(LDX_IMM, type),
  op(LD_ABS_W, NLATTR),
  op(JEQ_K, 0, { yes: 'accept' }),
]
const load = (slot: number) => op(LD_MEM, slot)
const store = (slot: number) => op(ST, slot)
const value = (size: number) => [op(TAX), op(size, VALUE)]
/** Goes on where it says when A is what is in the slot, and accepts when it is not. */
const same = (slot: number, yes?: Target) => [op(LDX_MEM, slot), op(JEQ_X, 0, { no: 'accept', ...(yes && { yes }) })]

const sameWord = (word: number): Instruction[] => [
  op(LDX_MEM, 4),
  op(LD_IND_W, VALUE + 4 * word),
  store(6),
  op(LDX_MEM, 5),
  op(LD_IND_W, VALUE + 4 * word),
  ...same(6),
]

const PROGRAM: readonly Instruction[] = [
  ...top(ORIGINAL),
  store(0),
  ...top(REPLY),
  store(1),
  // The protocol, and the two ports.
  load(0),
  ...inside(PROTOCOL),
  store(2),
  ...inside(PROTOCOL_NUMBER),
  ...value(LD_IND_B),
  op(JEQ_K, TCP, { no: 'reject' }),
  load(2),
  ...inside(DESTINATION_PORT),
  ...value(LD_IND_H),
  store(3),
  load(1),
  ...inside(PROTOCOL),
  ...inside(SOURCE_PORT),
  ...value(LD_IND_H),
  ...same(3),
  // The two addresses.
  load(0),
  ...inside(IP),
  store(2),
  load(1),
  ...inside(IP),
  store(3),
  load(2),
  ...inside(V4_DESTINATION, 'v6'),
  ...value(LD_IND_W),
  store(4),
  load(3),
  ...inside(V4_SOURCE),
  ...value(LD_IND_W),
  ...same(4, 'reject'),
  op(LD_MEM, 2, { label: 'v6' }),
  ...inside(V6_DESTINATION),
  store(4),
  load(3),
  ...inside(V6_SOURCE),
  store(5),
  ...[0, 1, 2, 3].flatMap(sameWord),
]

/** For the `filter` of a socket that hears NFNLGRP_CONNTRACK_NEW. */
export function translatedTcpFilter(): Buffer {
  const targets = {
    v6: PROGRAM.findIndex(({ label }) => label === 'v6'),
    reject: PROGRAM.length,
    accept: PROGRAM.length + 1,
  }
  const whole = [...PROGRAM, op(RET, REJECT), op(RET, ACCEPT)]
  const bytes = Buffer.alloc(8 * whole.length)
  for (const [at, { code, k, yes, no }] of whole.entries()) {
    const distance = (target: Target | undefined) => (target === undefined ? 0 : targets[target] - at - 1)
    bytes.writeUInt16LE(code, 8 * at)
    bytes.writeUInt8(distance(yes), 8 * at + 2)
    bytes.writeUInt8(distance(no), 8 * at + 3)
    bytes.writeUInt32LE(k, 8 * at + 4)
  }
  return bytes
}
