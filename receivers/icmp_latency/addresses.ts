// Which addresses are asked: those of one's own networks, public ones only when that is wanted.
import { BlockList, isIP } from 'node:net'
import { addressBytes, addressText, isLoopback, isUnspecified, unmapped } from '../host/address.ts'
import type { Family } from './packet.ts'

export type Address = {
  /** As in the label destination_ip. */
  readonly text: string
  readonly family: Family
  /** 4 or 16 bytes. */
  readonly bytes: Uint8Array
}

/** Undefined for what is no address. IPv4 in IPv6 (::ffff:10.0.0.1) is IPv4. */
export function parseAddress(text: string): Address | undefined {
  const given = addressBytes(text)
  if (given === undefined) return undefined
  const bytes = unmapped(given)
  return { text: addressText(bytes), family: bytes.length === 4 ? 4 : 6, bytes }
}

export type AddressSettings = {
  readonly public_addresses: boolean
  readonly allow: readonly string[]
  readonly deny: readonly string[]
}

/** RFC 1918, 6598 (carriers, Kubernetes), 3927, 2544, 5737; RFC 4193, 3849. */
const PRIVATE = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '198.18.0.0/15',
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  'fc00::/7',
  '2001:db8::/32',
]

/** Undefined for what is neither an address nor a network such as 10.0.0.0/8. */
export function parseNetwork(text: string): { address: string; family: 'ipv4' | 'ipv6'; bits: number } | undefined {
  const [address = '', length] = text.split('/')
  const version = isIP(address)
  if (version === 0 || address.includes('%') || text.split('/').length > 2) return undefined
  const most = version === 4 ? 32 : 128
  if (length !== undefined && (!/^\d{1,3}$/.test(length) || Number(length) > most)) return undefined
  return { address, family: version === 4 ? 'ipv4' : 'ipv6', bits: Number(length ?? most) }
}

/** Whether an address is in one of them. One list for each family: BlockList takes ::/0 for IPv4 as well. */
function within(networks: readonly string[]): (address: Address) => boolean {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const { address, family, bits } of networks.map(parseNetwork).filter((network) => network !== undefined)) {
    lists[family].addSubnet(address, bits, family)
  }
  return ({ text, family }) => (family === 4 ? lists.ipv4.check(text, 'ipv4') : lists.ipv6.check(text, 'ipv6'))
}

/**
 * `deny` wins; with an `allow` list only what is in it is asked, public or not. Never asked are loopback, addresses
 * that are nobody's or many's (unspecified, multicast, broadcast), and IPv6 link-local ones, which need a zone.
 */
export function createAddressFilter({ public_addresses, allow, deny }: AddressSettings): (address: Address) => boolean {
  const [isAllowed, isDenied, isPrivate] = [within(allow), within(deny), within(PRIVATE)]
  return (address) => {
    const { family, bytes } = address
    if (isLoopback(bytes) || isUnspecified(bytes) || isNobodys(family, bytes) || isDenied(address)) return false
    return allow.length > 0 ? isAllowed(address) : public_addresses || isPrivate(address)
  }
}

function isNobodys(family: Family, [first = 0, second = 0]: Uint8Array): boolean {
  if (family === 4) return first === 0 || first >= 224
  return first === 0xff || (first === 0xfe && (second & 0xc0) === 0x80)
}
