// Which destinations are told apart, and which share one name.
import { BlockList, isIPv6 } from 'node:net'

/** The destination that stands for all that are not told apart. */
export const OTHER = 'other'

/** `1.2.3.4:80`, `[2001:db8::1]:80`. */
export const withPort = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

/** 127.0.0.0/8 and ::1, which mean another machine in each network namespace. */
export const isLoopbackText = (address: string): boolean => address === '::1' || address.startsWith('127.')

/** The destination as it is reported: itself, the name of the network it is in, or `other`. */
export type Filter = (address: string, port: number) => string

export type FilterSettings = {
  /** Networks whose addresses share one destination, `203.0.113.0/24:443`. */
  readonly fold_networks: readonly string[]
  /** Networks that are told apart though one of the settings would fold them. */
  readonly keep_networks: readonly string[]
  /** All addresses of the internet as one destination, `public:443`. */
  readonly fold_public: boolean
  /** First and last port of a range whose destinations are one, `other`. */
  readonly fold_ports: string
}

/** Not to be reached from the internet: RFC 1918, 6598, 3927, 4193, 4291, loopback, documentation, benchmarks, multicast. */
const PRIVATE = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
  '::/127',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
]

export function createFilter(settings: FilterSettings): Filter {
  const { fold_networks, keep_networks, fold_public, fold_ports } = settings
  const folds = fold_networks.map((network) => ({ network, contains: within([network]) }))
  const keep = within(keep_networks)
  const isPrivate = within(PRIVATE)
  const [firstPort, lastPort] = portRange(fold_ports)
  if (folds.length === 0 && !fold_public && firstPort > lastPort) return withPort

  return (address, port) => {
    if (keep(address)) return withPort(address, port)
    if (port >= firstPort && port <= lastPort) return OTHER
    const fold = folds.find(({ contains }) => contains(address))
    if (fold !== undefined) return `${fold.network}:${port}`
    return fold_public && !isPrivate(address) ? `public:${port}` : withPort(address, port)
  }
}

/** Undefined for what is no network, `10.0.0.0/8` or `2001:db8::/32`. */
export function parseNetwork(text: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | undefined {
  const [address = '', length = ''] = text.split('/')
  const family = isIPv6(address) ? 'ipv6' : 'ipv4'
  const prefix = Number(length)
  if (!/^\d+$/.test(length) || prefix > (family === 'ipv6' ? 128 : 32)) return undefined
  try {
    new BlockList().addSubnet(address, prefix, family)
    return { address, prefix, family }
  } catch {
    return undefined
  }
}

/** An empty range for ''. */
export function portRange(text: string): readonly [number, number] {
  const range = /^(\d+)-(\d+)$/.exec(text)
  return range ? [Number(range[1]), Number(range[2])] : [1, 0]
}

function within(networks: readonly string[]): (address: string) => boolean {
  // One list for each family: BlockList takes ::/0 for all of IPv4 too.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const text of networks) {
    const network = parseNetwork(text)
    if (network !== undefined) lists[network.family].addSubnet(network.address, network.prefix, network.family)
  }
  if (networks.length === 0) return () => false
  return (address) => {
    const family = address.includes(':') ? 'ipv6' : 'ipv4'
    return lists[family].check(address, family)
  }
}
